/*
 * Starting a program: from a description of it to a child that has exec'ed.
 *
 * No shell and no helper of the guest's stands between envd and the command. Everything is
 * prepared beforehand; between the clone and execve(2) the child, which shares the daemon's memory
 * while the cloning thread is suspended, makes system calls and nothing else.
 *
 * The child gets: a session of its own (and the terminal as its controlling one), the user's ids
 * and groups, oom_score_adj 100, nice 0, I/O class best-effort 4, an empty signal mask and default
 * dispositions, umask 022, the resource limits the daemon was started with, the working directory
 * (entered as the user), and no descriptors but 0, 1 and 2.
 */
#ifndef PTY_SPAWN_H
#define PTY_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct spawn {
	/* ---- What to run. Borrowed until spawn_run has returned. ---- */

	/*
	 * The program: a path when it has a slash, else looked up in `path` (the PATH of envp, or
	 * NULL). What can't be executed still starts: it writes "<argv[0]>: <reason>" to stderr
	 * and exits with 127 (not there) or 126 (not executable).
	 *
	 * NULL-terminated; argv[-1] must be there to be written: a text without "#!" is run as
	 * /bin/sh PATH ARGUMENTS.
	 */
	char **argv;
	char **envp;
	const char *path;

	const char *cwd;
	uid_t uid;
	gid_t gid;
	const gid_t *groups;
	size_t n_groups;

	bool pty; /* a terminal of cols × rows, in the place of three pipes */
	uint16_t cols, rows;
	bool stdin_pipe; /* otherwise stdin is empty (not for a terminal) */

	int cgroup_fd; /* the directory of the cgroup to begin in; -1: the daemon's */
	/* The cgroup.procs to enter by, where CLONE_INTO_CGROUP is not to be used; -1: none. */
	int cgroup_procs_fd;

	/* ---- What came of it; the caller owns the descriptors. ---- */

	pid_t pid;
	int pidfd;
	int stdin_fd;  /* to write, not blocking; -1: none. The terminal's master, too. */
	int stdout_fd; /* to read, not blocking. For a terminal the same as stdin_fd. */
	int stderr_fd; /* -1 for a terminal */
};

/*
 * To be called by main before it changes resource limits or opens descriptors: remembers the
 * limits for the children, and sees to it that 0, 1 and 2 are open and that children can be waited
 * for.
 */
void spawn_init(void);

/* Fills in "nothing" wherever 0 is something. */
void spawn_prepare(struct spawn *s);

/*
 * Starts the program. It blocks until the child has exec'ed, however long its file system or its
 * cgroup keep it: to be called on a worker. 0, or -1: ERROR_INVALID_ARGUMENT where the directory
 * can't be entered or the arguments are too long, else a failure of the system. After a failure
 * pidfd is -1, unless the child could not be reaped yet: then the caller owns it (zombies_add).
 */
int spawn_run(struct spawn *s, struct error *err);

/*
 * Kills the child of a spawn_run that has not returned, where there is one yet. (One that waits for
 * a file system may not die before that answers.)
 */
void spawn_kill(struct spawn *s);

#endif
