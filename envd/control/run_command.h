/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a program of the image (mount(8), iptables(8)) and waits for its end. Blocks: call it on a
 * worker.
 */
#ifndef ENVD_RUN_COMMAND_H
#define ENVD_RUN_COMMAND_H

#include <stddef.h>

/* Room for the program's output. Output that does not fit is dropped. */
#define RUN_OUTPUT_BYTES 4096

struct run_result {
	int status;		       /* as returned by waitpid(2) */
	char output[RUN_OUTPUT_BYTES]; /* stdout and stderr, NUL-terminated */
};

/*
 * Runs argv. argv[0] is a path, or a name that is looked up in the usual directories. Returns 0 if
 * the program ended by itself, with any status; -ENOENT if it does not exist; -ETIMEDOUT if it was
 * killed after timeout_ms; or another -errno.
 */
int run_command(const char *const argv[], unsigned timeout_ms, struct run_result *ret);

#endif
