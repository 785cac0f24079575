/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Killing a process: whom a KILL reaches, and when it is answered.
 *
 * The leader, and for KILL_SCOPE_SESSION its process group, get SIGKILL from the loop. The others
 * are found on a worker: it writes to cgroup.kill, or reads who is in the session. The leader stays
 * unreaped until the worker is done, so that its pid cannot name another session.
 */
#ifndef PTY_KILL_H
#define PTY_KILL_H

#include <stdbool.h>
#include <sys/queue.h>

/* Whom a KILL and the deadline reach. */
enum kill_scope {
	KILL_SCOPE_LEADER,
	KILL_SCOPE_SESSION, /* the session that the process leads; after its exit nobody */
	KILL_SCOPE_TREE,    /* everybody in its cgroup; without a cgroup the session */
};

/* "leader", "session" or "tree": 0, or -1 for another text. */
int kill_scope_parse(const char *text, enum kill_scope *ret);

/*
 * A KILL is answered when its work is done and the leader has exited, but no later than this after
 * the work: a leader in an uninterruptible system call may not die for long.
 */
#define PROC_KILL_ANSWER_MS 100

struct proc;
struct kill;

TAILQ_HEAD(kill_list, kill);

enum proc_kill_result {
	PROC_KILL_DONE,
	PROC_KILL_WAITS,
};

typedef void proc_killed_fn(void *arg);

/*
 * Kills what the scope reaches. PROC_KILL_DONE; PROC_KILL_WAITS: `done`, which may be NULL, comes
 * from the loop; or -errno. Loop only.
 */
int proc_kill(struct proc *p, enum kill_scope scope, proc_killed_fn *done, void *arg);

/* Sends SIGTERM to the leader, or to its process group. 0 or -errno. */
int proc_terminate(struct proc *p, bool group);

/* The leader has exited: answers the kills that waited for it. */
void kills_update(struct proc *p);

#endif
