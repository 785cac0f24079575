/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a program: from its description to a child that has exec'ed.
 *
 * No shell and no helper program stands between envd and the command. Everything is prepared before
 * the clone. Between clone and execve(2) the child shares the daemon's memory, while the cloning
 * thread is suspended, and makes only system calls.
 *
 * The child gets: a session of its own (and the terminal as its controlling one), the ids and
 * groups of its user, oom_score_adj 100, nice 0, I/O class best-effort 4, an empty signal mask and
 * default dispositions, umask 022, the resource limits that the daemon was started with, the
 * working directory (entered as the user), and the descriptors 0, 1 and 2 alone.
 */
#ifndef PTY_SPAWN_H
#define PTY_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/error.h"

struct limits;

struct spawn {
	/* ---- What to run. Borrowed until spawn_run has returned. ---- */

	/*
	 * argv[0] is the program: a path if it has a slash, otherwise a name that is looked up in
	 * `path` (the PATH of envp, or NULL). If it cannot be executed the child still counts as
	 * started: it writes "<argv[0]>: <reason>" to stderr and exits with 127 (not found) or 126
	 * (not executable).
	 *
	 * NULL-terminated. argv[-1] must be writable: a text file without "#!" is run as
	 * /bin/sh PATH ARGUMENTS.
	 */
	char **argv;
	char **envp;
	const char *path;

	const char *cwd;
	/*
	 * The element of envp that holds PWD, if a missing `cwd` may be replaced by "/"; NULL: that
	 * is an error. The child then sets the element to "PWD=/".
	 */
	char **pwd;
	uid_t uid;
	gid_t gid;
	const gid_t *groups;
	size_t n_groups;

	bool pty; /* a terminal of cols × rows instead of three pipes */
	uint16_t cols, rows;
	bool stdin_pipe; /* otherwise stdin is at its end (not for a terminal) */

	const struct limits *limits; /* the resource limits and nice of it; NULL: none */

	int cgroup_fd;	     /* the directory of a cgroup, for CLONE_INTO_CGROUP; -1: none */
	int cgroup_procs_fd; /* a cgroup.procs that the child writes itself into; -1: none */

	/* ---- The result. The caller owns the descriptors. ---- */

	pid_t pid;
	int pidfd;
	bool cwd_replaced; /* the process began in "/" */
	int stdin_fd;	   /* to write, not blocking; -1: none. For a terminal its master. */
	int stdout_fd;	   /* to read, not blocking. For a terminal the same number as stdin_fd. */
	int stderr_fd;	   /* -1 for a terminal */
};

/*
 * To be called by main before it changes resource limits or opens descriptors. Saves the limits for
 * the children, opens 0, 1 and 2 if they are closed, and sets SIGCHLD to its default.
 */
void spawn_init(void);

/* The limit of descriptors that the daemon was started with. */
void spawn_original_nofile(struct rlimit *ret);

/* Makes it empty: zero, and -1 for the descriptors. */
void spawn_prepare(struct spawn *s);

/*
 * Starts the program and blocks until the child has exec'ed: a file system that does not answer
 * delays that without bound, so this is for a worker. 0, or -1 with ERROR_INVALID_ARGUMENT if the
 * directory cannot be entered or the arguments are too long, ERROR_RESOURCE_EXHAUSTED for limits,
 * or ERROR_INTERNAL. After a failure pidfd is -1, unless the child could not be reaped: then the
 * caller owns pidfd (zombies_add).
 */
int spawn_run(struct spawn *s, struct error *err);

/* Closes the daemon's ends of the pipes or the terminal of a child that was started. */
void spawn_close(struct spawn *s);

/*
 * Kills the child of a spawn_run that has not returned, if it has one yet. A child that waits for a
 * file system dies when the file system answers.
 */
void spawn_kill(struct spawn *s);

/*
 * Kills the child of a spawn_run that has not returned if it is stopped: a process of the same user
 * can send it SIGSTOP between clone and exec, which suspends the cloning thread too. True if it
 * was. From the loop.
 */
bool spawn_kill_stopped(struct spawn *s);

#endif
