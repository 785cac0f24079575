/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/kill.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/work.h"
#include "pty/cgroup/cgroup.h"
#include "pty/kill_session.h"
#include "pty/proc.h"
#include "rpc/context.h"

static const char *const scope_names[] = {
	[KILL_SCOPE_LEADER] = "leader",
	[KILL_SCOPE_SESSION] = "session",
	[KILL_SCOPE_TREE] = "tree",
};

int kill_scope_parse(const char *text, enum kill_scope *ret)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(scope_names); i++) {
		if (strcmp(text, scope_names[i]) != 0)
			continue;
		*ret = (enum kill_scope)i;
		return 0;
	}
	return -1;
}

/* Without a free descriptor nobody can be found: the worker tries again, for 5 s. */
#define SHORTAGE_PAUSE_MS 50
#define SHORTAGE_TRIES	  100

/* One KILL, from its signal to its answer. */
struct kill {
	struct work work;
	struct proc *proc; /* a reference */
	enum kill_scope scope;
	bool leader_exited; /* before the KILL: its session no longer has a leader */
	bool working;	    /* `work` is in progress */
	proc_killed_fn *done;
	void *arg;
	struct timer answer;
	TAILQ_ENTRY(kill) link;
};

static int signal_leader(struct proc *p, int signal)
{
	if (syscall(SYS_pidfd_send_signal, p->pidfd, signal, NULL, 0) == 0)
		return 0;
	/* ESRCH: the process has exited, and the loop has not seen the pidfd's event yet. */
	return errno == ESRCH ? 0 : -errno;
}

int proc_terminate(struct proc *p, bool group)
{
	int r = 0;

	if (!p->exited)
		r = signal_leader(p, SIGTERM);
	if (r == 0 && group && kill(-p->pid, SIGTERM) < 0 && errno != ESRCH)
		r = -errno;
	p->killed = true;
	proc_settle(p);
	return r;
}

/* Kills the other processes: 0, or -errno if there is no free descriptor or no memory. */
static int kill_others(const struct kill *kill)
{
	struct proc *p = kill->proc;
	FD_AUTO int members = -1;
	int r;

	if (kill->scope == KILL_SCOPE_TREE) {
		r = cgroup_kill(p->cgroup);
		/* A privileged process may have moved the leader to another cgroup. */
		signal_leader(p, SIGKILL);
		if (r == 0 || fd_is_shortage(r))
			return r;
		log_warn("process %d: cgroup.kill failed, so its session is killed: %s",
			 (int)p->pid, error_errno_text(r));
	}
	if (kill->leader_exited)
		return 0;
	members = p->cgroup ? cgroup_open_members(p->cgroup) : -1;
	r = kill_session(p->pid, members);
	return r < 0 ? r : 0;
}

static void kill_run(struct work *work)
{
	static const struct timespec pause = {.tv_nsec = SHORTAGE_PAUSE_MS * 1000000L};
	struct kill *kill = container_of(work, struct kill, work);
	unsigned tries;
	int r;

	for (tries = 0; (r = kill_others(kill)) < 0 && tries < SHORTAGE_TRIES; tries++)
		nanosleep(&pause, NULL);
	if (r < 0)
		log_warn("process %d: members of its session may live on: %s", (int)kill->proc->pid,
			 error_errno_text(r));
}

static void kill_free(struct kill *kill)
{
	TAILQ_REMOVE(&kill->proc->kills, kill, link);
	timer_cancel(&kill->answer);
	proc_unref(kill->proc);
	free(kill);
}

/*
 * Answers a kill whose work is done, when the leader has exited or PROC_KILL_ANSWER_MS have passed.
 */
static void kill_update(struct kill *kill)
{
	if (kill->working || (!kill->proc->exited && timer_pending(&kill->answer)))
		return;
	if (kill->done)
		kill->done(kill->arg);
	kill_free(kill);
}

static void answer_due(void *arg)
{
	kill_update(arg);
}

static void kill_work_done(struct work *work)
{
	struct kill *kill = container_of(work, struct kill, work);

	kill->working = false;
	kill->proc->n_kill_works--;
	proc_reap(kill->proc);
	timer_set_ms(&kill->answer, PROC_KILL_ANSWER_MS);
	kill_update(kill);
}

void kills_update(struct proc *p)
{
	struct kill *kill, *next;

	for (kill = TAILQ_FIRST(&p->kills); kill; kill = next) {
		next = TAILQ_NEXT(kill, link);
		kill_update(kill);
	}
}

static void kill_begin(struct proc *p, enum kill_scope scope, proc_killed_fn *done, void *arg)
{
	struct kill *kill = mem_zalloc(sizeof(*kill));

	kill->proc = proc_ref(p);
	kill->scope = scope;
	kill->leader_exited = p->exited;
	kill->done = done;
	kill->arg = arg;
	timer_init(&kill->answer, p->daemon->loop, answer_due, kill);
	TAILQ_INSERT_TAIL(&p->kills, kill, link);
	if (scope == KILL_SCOPE_LEADER) {
		timer_set_ms(&kill->answer, PROC_KILL_ANSWER_MS);
		return;
	}
	kill->working = true;
	kill->work.run = kill_run;
	kill->work.done = kill_work_done;
	p->n_kill_works++;
	work_submit(p->daemon->kill_workers, &kill->work);
}

int proc_kill(struct proc *p, enum kill_scope scope, proc_killed_fn *done, void *arg)
{
	int r;

	if (scope == KILL_SCOPE_TREE && !p->cgroup)
		scope = KILL_SCOPE_SESSION;
	p->killed = true;
	if (p->exited) {
		/* The session ended with its leader; its cgroup may still have members. */
		if (scope == KILL_SCOPE_TREE)
			kill_begin(p, scope, done, arg);
		proc_settle(p);
		return scope == KILL_SCOPE_TREE ? PROC_KILL_WAITS : PROC_KILL_DONE;
	}
	/* cgroup.kill reaches the leader too, all at once with the others. */
	if (scope != KILL_SCOPE_TREE) {
		r = signal_leader(p, SIGKILL);
		if (r < 0)
			return r;
	}
	/* The process group of the leader is usually the whole session. */
	if (scope == KILL_SCOPE_SESSION)
		kill(-p->pid, SIGKILL);
	kill_begin(p, scope, done, arg);
	return PROC_KILL_WAITS;
}
