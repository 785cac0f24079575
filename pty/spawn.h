/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts a program as a child of the daemon.
 *
 * No shell and no helper program runs between envd and the command. All preparation happens before
 * the clone. Between clone and execve(2) the child shares the daemon's memory and makes only system
 * calls, while the cloning thread is suspended.
 *
 * The child gets: its own session (with the terminal as its controlling one), the ids and groups of
 * its user, oom_score_adj 100, nice 0, I/O class best-effort 4, an empty signal mask and default
 * dispositions, umask 022, the resource limits with which the daemon was started, the working
 * directory (entered as the user), and only the descriptors 0, 1 and 2.
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
struct sock_fprog;

struct spawn {
	/* ---- What to run. Borrowed until spawn_run has returned. ---- */

	/*
	 * argv[0] is the program: a path if it contains a slash, else a name that is looked up in
	 * `path` (the PATH of envp, or NULL). If it can't be executed, the child still counts as
	 * started: it writes "<argv[0]>: <reason>" to stderr and exits with 127 (not found) or 126
	 * (not executable).
	 *
	 * NULL-terminated. argv[-1] must be writable: a text file without "#!" is run as /bin/sh
	 * PATH ARGUMENTS.
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
	bool stdin_pipe; /* otherwise stdin is at EOF (not for a terminal) */

	const struct limits *limits; /* resource limits and nice; NULL: none */

	const struct sock_fprog
		*filter;   /* of system calls, the last step before the exec; or NULL */
	bool no_new_privs; /* PR_SET_NO_NEW_PRIVS: execve(2) gives no privileges */

	int cgroup_fd;	     /* the directory of a cgroup, for CLONE_INTO_CGROUP; -1: none */
	int cgroup_procs_fd; /* a cgroup.procs that the child writes itself into; -1: none */

	/* ---- The result. The caller owns the descriptors. ---- */

	pid_t pid;
	int pidfd;
	bool cwd_replaced; /* the process began in "/" */
	int stdin_fd;	   /* to write, non-blocking; -1: none; for a terminal its master */
	int stdout_fd;	   /* to read, non-blocking; for a terminal equal to stdin_fd */
	int stderr_fd;	   /* -1 for a terminal */
};

/*
 * Call it from main before it changes resource limits or opens descriptors. Saves the limits for
 * the children, opens descriptors 0, 1 and 2 if they are closed, and resets SIGCHLD to its default.
 */
void spawn_init(void);

/* Returns the limit of descriptors with which the daemon was started. */
void spawn_original_nofile(struct rlimit *ret);

/* Initialises the struct: zeros, and -1 for the descriptors. */
void spawn_prepare(struct spawn *s);

/*
 * Starts the program and blocks until the child has exec'ed, without bound if a file system does
 * not answer: call it on a worker. 0, or -1 with ERROR_INVALID_ARGUMENT if the directory can't be
 * entered or the arguments are too long, ERROR_RESOURCE_EXHAUSTED for exhausted limits, or
 * ERROR_INTERNAL. After a failure pidfd is -1, unless the child could not be reaped: then the
 * caller owns pidfd (see zombies_add).
 */
int spawn_run(struct spawn *s, struct error *err);

/* Closes the daemon's ends of the pipes, or of the terminal, of a started child. */
void spawn_close(struct spawn *s);

/*
 * Kills the child, if there is one yet, of a spawn_run that has not returned. A child that waits
 * for a file system dies when the file system answers.
 */
void spawn_kill(struct spawn *s);

/*
 * Kills the child of a spawn_run that has not returned, if the child is stopped, and returns true
 * if it was. A process of the same user can send SIGSTOP to the child between clone and exec, which
 * also suspends the cloning thread. Call it from the loop.
 */
bool spawn_kill_stopped(struct spawn *s);

#endif
