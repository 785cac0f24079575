/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a program of the image's and waits for it: mount, iptables. On workers only.
 */
#ifndef ENVD_RUN_COMMAND_H
#define ENVD_RUN_COMMAND_H

#include <stddef.h>

/* Of what the program says, so much is kept: the beginning. */
#define RUN_OUTPUT_BYTES 512

struct run_result {
	int status;		       /* as waitpid(2) has it */
	char output[RUN_OUTPUT_BYTES]; /* stdout and stderr */
};

/*
 * argv[0] is a path, or looked up in the usual directories. 0 where it ended by itself, in whatever
 * way; -ENOENT where there is no such program; -ETIMEDOUT where it was killed after timeout_ms; or
 * another -errno.
 */
int run_command(const char *const argv[], unsigned timeout_ms, struct run_result *ret);

#endif
