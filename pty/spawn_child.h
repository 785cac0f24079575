/*
 * The child's part of a spawn: what happens between clone and execve.
 *
 * It runs in the daemon's memory on a stack of its own, while the thread that cloned it is
 * suspended. So it makes system calls, writes to nothing but its stack, argv and its report, and
 * takes no lock: another thread may hold any.
 */
#ifndef PTY_SPAWN_CHILD_H
#define PTY_SPAWN_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>

#include "pty/spawn.h"

/* Room for the child: a path to try, and what its calls need. */
#define SPAWN_STACK_BYTES (16 * 1024)

/* What every child gets of the daemon's process, found out once. */
struct spawn_defaults {
	bool privileged;  /* the daemon is root: it can become another user */
	uint64_t ignored; /* signals that are ignored, bit n - 1 for signal n */
	struct rlimit limits[RLIM_NLIMITS];
	uint32_t changed_limits; /* bit n: the daemon's own limit n is another */
};

enum spawn_step {
	SPAWN_STARTED = 0,
	SPAWN_CGROUP,
	SPAWN_STDIO,
	SPAWN_TERMINAL,
	SPAWN_USER,
	SPAWN_CWD,
	SPAWN_EXEC,
};

struct spawn_child {
	struct spawn *spawn;
	const struct spawn_defaults *defaults;
	int fds[3]; /* to become 0, 1, 2, all of them above 2; -1: at its end from the beginning */
	/* The report: where it failed, if it did, and the errno. */
	volatile enum spawn_step failed_at;
	volatile int failed_errno;
};

/* `arg` is a struct spawn_child. */
_Noreturn void spawn_child_main(void *arg);

#endif
