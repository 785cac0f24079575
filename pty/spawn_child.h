/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child's part of a spawn, between clone and execve(2).
 *
 * The child runs in the daemon's memory on its own stack, while the thread that cloned it is
 * suspended. Therefore it makes only system calls, writes only to its stack, argv, envp and its
 * report, and takes no lock, because another thread may hold the lock.
 */
#ifndef PTY_SPAWN_CHILD_H
#define PTY_SPAWN_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>

#include "pty/limits.h"
#include "pty/spawn.h"

/* Enough for a path of 4 KiB and the frames of system calls. */
#define SPAWN_STACK_BYTES (16 * 1024)

/* Facts about the daemon that every child needs, determined once. */
struct spawn_defaults {
	bool privileged;  /* the daemon is root: it can become another user */
	uint64_t ignored; /* signals that are ignored, bit n - 1 for signal n */
	struct rlimit limits[RLIM_NLIMITS];
	uint32_t changed_limits; /* bit n: the daemon has changed its own limit n */
};

enum spawn_step {
	SPAWN_STARTED = 0,
	SPAWN_CGROUP,
	SPAWN_STDIO,
	SPAWN_TERMINAL,
	SPAWN_USER,
	SPAWN_LIMIT,
	SPAWN_CWD,
	SPAWN_SECCOMP,
	SPAWN_EXEC,
};

struct spawn_child {
	struct spawn *spawn;
	const struct spawn_defaults *defaults;
	int fds[3];		    /* become 0, 1, 2; all above 2; -1: an input at EOF */
	int resources[LIMIT_NAMES]; /* limits_resource of each */
	/* The report: the failed step, its errno, and whether "/" replaced the directory. */
	volatile enum spawn_step failed_at;
	volatile int failed_errno;
	volatile enum limit_name failed_limit; /* SPAWN_LIMIT */
	volatile bool cwd_replaced;
};

/* `arg` is a struct spawn_child. */
_Noreturn void spawn_child_main(void *arg);

#endif
