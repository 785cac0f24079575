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

#define RUN_REAP_MS  1000
#define RUN_MAX_LEFT 16

struct run_result {
	int status;		       /* as returned by waitpid(2) */
	char output[RUN_OUTPUT_BYTES]; /* stdout and stderr, NUL-terminated */
};

/*
 * Runs argv. argv[0] is a path, or a name that is looked up in the usual directories. Returns 0 if
 * the program ended by itself, with any status; -ENOENT if it does not exist; -ETIMEDOUT if it was
 * killed after timeout_ms; -EBUSY if it is killed or has ended, but can't be reaped: it hangs in
 * the kernel, or a tracer holds it; or another -errno.
 *
 * A program that can't be reaped within RUN_REAP_MS is left behind, and reaped by a later call.
 * While RUN_MAX_LEFT are left, every call returns -EBUSY and starts nothing.
 */
int run_command(const char *const argv[], unsigned timeout_ms, struct run_result *ret);

#endif
