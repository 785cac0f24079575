/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds out whether a program can replace this daemon, before anything is frozen. After the execve
 * there is nothing to go back to, so a program that can't serve would lose the sandbox.
 */
#ifndef ENVD_UPGRADE_PROGRAM_H
#define ENVD_UPGRADE_PROGRAM_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"

struct image;
struct options;

/*
 * How long the program may take to print one line. A build of envd needs two milliseconds. The rest
 * is for a guest whose CPUs are busy: a live upgrade meets a running workload, and one second has
 * been too short on such a machine. Nothing is frozen meanwhile. The program is run twice, and the
 * caller of /upgrade waits 30 s (docs/compatibility/upgrade.md).
 */
#define PROGRAM_ANSWER_MS 5000

struct program {
	const char *path; /* of its file now; NULL: this daemon's own program */
	const char *name; /* the path from which it will be executed, unless `path` is NULL */
	const struct options *options;
	bool sockets_are_held; /* a parent holds the sockets, so the reference can't bind */
};

/*
 * Checks that the file is a complete program for this machine, that it takes the flags of this
 * daemon, and that it prints a version. Runs the program, so it blocks: call it on a worker.
 * Fills in all of *ret but blob_fd, with memory of the arena. 0, or -1 with the reason:
 * ERROR_INTERNAL if the file could not be read, and other codes if the program is refused.
 */
int program_check(const struct program *program, struct arena *arena, struct image *ret,
		  struct error *err);

#endif
