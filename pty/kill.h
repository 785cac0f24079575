/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kills a process: which processes a KILL reaches, and when it is answered.
 *
 * The loop sends SIGKILL to the leader, and for KILL_SCOPE_SESSION to its process group. A worker
 * kills the other processes: it writes to cgroup.kill, or finds the members of the session. The
 * leader is not reaped before the worker is done, so that its pid can't name another session.
 */
#ifndef PTY_KILL_H
#define PTY_KILL_H

#include <stdbool.h>
#include <sys/queue.h>

/* The processes that a KILL and the deadline reach. */
enum kill_scope {
	KILL_SCOPE_LEADER,
	KILL_SCOPE_SESSION, /* the session of the process; after its exit no process */
	KILL_SCOPE_TREE,    /* all processes in its cgroup; without a cgroup the session */
};

/* Parses "leader", "session" or "tree". 0, or -1 for another text. */
int kill_scope_parse(const char *text, enum kill_scope *ret);

/*
 * A KILL is answered when its worker is done and the leader has exited, or this long after the
 * worker is done: a leader in an uninterruptible system call may not die for a long time.
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
 * Kills the processes of the scope. Returns PROC_KILL_DONE; PROC_KILL_WAITS, and then `done` (may
 * be NULL) is called from the loop; or -errno. Loop only.
 */
int proc_kill(struct proc *p, enum kill_scope scope, proc_killed_fn *done, void *arg);

/* Sends SIGTERM to the leader, or to its process group. 0 or -errno. */
int proc_terminate(struct proc *p, bool group);

/* Answers the kills that wait for the leader. Call it when the leader has exited. */
void kills_update(struct proc *p);

#endif
