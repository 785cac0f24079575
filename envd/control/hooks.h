/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the hooks of an operator: the executables of a directory, one after the other. */
#ifndef ENVD_HOOKS_H
#define ENVD_HOOKS_H

#include <stdint.h>

struct hooks {
	const char *directory;	/* /etc/envd/hooks.d */
	const char *kind;	/* its sub-directory, and the first argument of each hook */
	const char *generation; /* the second argument */
	const char *id;		/* the third argument */
	unsigned timeout_ms;	/* of each hook */
	unsigned total_ms;	/* of all; hooks that would begin later are skipped */
};

/*
 * Runs the executable files of DIRECTORY/KIND in the order of their names (strcmp); at most
 * LIFECYCLE_MAX_HOOKS. Names that begin with '.' or end with '~' are skipped.
 *
 * A directory or file is refused if its owner is neither root nor the daemon's user, or if others
 * may write to it, because its programs run as root. The same holds for DIRECTORY and all
 * directories above it; those above may be sticky instead, as /tmp is. If the path has symbolic
 * links, this holds for what they lead to.
 *
 * A hook that runs longer than its timeout is killed, with its process group. Output and failures
 * go to the log. Blocks: call it on a worker.
 */
void hooks_run(const struct hooks *hooks);

#endif
