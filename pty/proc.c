#include "pty/proc.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/work.h"
#include "pty/cgroup/cgroup.h"
#include "pty/kill_session.h"
#include "pty/output.h"
#include "pty/proc_table.h"
#include "pty/zombie.h"
#include "rpc/context.h"

static const char *const state_names[] = {
	[PROC_RUNNING] = "running",
	[PROC_DRAINING] = "draining",
	[PROC_ENDED] = "ended",
};

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

static void proc_set_state(struct proc *p, enum proc_state state)
{
	log_debug("process %d: %s -> %s", (int)p->pid, state_names[p->state], state_names[state]);
	p->state = state;
}

void proc_update(struct proc *p)
{
	unsigned i;

	for (i = 0; i < p->n_outputs; i++)
		output_update(&p->outputs[i]);
	taps_update(p);
}

/* A SIGKILL that no client sent and no deadline: the kernel's, for lack of memory? */
static void proc_explain(struct proc *p)
{
	struct cgroup_usage usage;

	if (!p->cgroup || p->killed || p->deadline_passed || p->exit_status.code != CLD_KILLED ||
	    p->exit_status.status != SIGKILL)
		return;
	p->exit_status.oom = cgroups_claim_oom(p->cgroup->all, p->cgroup->group);
	if (p->cgroup->all->accounting && cgroup_usage(p->cgroup, &usage) == 0)
		p->exit_status.oom = usage.oom_kills > 0;
	if (!p->exit_status.oom)
		return;
	p->table->oom_kills++;
	log_warn("process %d was killed for lack of memory", (int)p->pid);
}

/*
 * Has the leader reaped, unless a kill still needs its pid to name this process and no other. The
 * process counts in the budget until then.
 */
static void proc_reap(struct proc *p)
{
	if (p->kills == 0 && p->pidfd >= 0)
		zombies_add(&p->table->zombies, p->pid, fd_take(&p->pidfd));
}

/* The end, which comes once: the status to the readers, everything closed, out of the table. */
static void proc_end(struct proc *p)
{
	unsigned i;

	for (i = 0; i < p->n_outputs; i++) {
		output_rest(&p->outputs[i]);
		output_close(&p->outputs[i]);
	}
	proc_set_state(p, PROC_ENDED);
	zombie_read_status(p->pid, p->pidfd, &p->exit_status);
	proc_explain(p);
	log_operation(p->operation, "process_end", "process %d: %s %d", (int)p->pid,
		      p->exit_status.code == CLD_EXITED ? "exit status" : "killed by signal",
		      p->exit_status.status);
	timer_cancel(&p->deadline);
	taps_end(p);
	taps_update(p);
	input_end(&p->input);
	proc_table_retire(p->table, p);
	proc_reap(p);
}

/* Decides from the facts, whichever came last, whether it is over. */
static void proc_settle(struct proc *p)
{
	unsigned i;

	if (p->state == PROC_ENDED || !p->exited)
		return;
	if (p->state == PROC_RUNNING) {
		proc_set_state(p, PROC_DRAINING);
		input_end(&p->input);
	}
	if (!p->killed && !p->deadline_passed)
		for (i = 0; i < p->n_outputs; i++)
			if (!p->outputs[i].ended)
				return;
	proc_end(p);
}

void proc_pump(struct proc *p)
{
	unsigned i;

	for (i = 0; i < p->n_outputs; i++)
		output_pump(&p->outputs[i]);
	proc_settle(p);
	if (p->state != PROC_ENDED)
		proc_update(p);
}

void proc_output_readable(struct output *o)
{
	output_pump(o);
	proc_settle(o->proc);
	if (o->proc->state != PROC_ENDED)
		proc_update(o->proc);
}

/*
 * The leader exited. Most often that is also the end of its outputs, which is found out here and
 * now: one wake-up of the loop in the place of three.
 */
static void proc_exited(evutil_socket_t fd, short what, void *arg)
{
	struct proc *p = arg;

	event_del(&p->exit_event);
	p->exited = true;
	proc_pump(p);
}

static int signal_leader(struct proc *p, int signal)
{
	if (syscall(SYS_pidfd_send_signal, p->pidfd, signal, NULL, 0) == 0)
		return 0;
	/* It exited a moment ago, which the loop is about to hear. */
	return errno == ESRCH ? 0 : -errno;
}

/* The killing of more than the leader, on a worker: it writes to cgroup files or reads /proc. */
struct kill_work {
	struct work work;
	struct proc *proc;
	proc_killed_fn *done;
	void *arg;
	bool tree;
	bool leader_lives; /* or is a zombie, whose number nobody else has */
};

static void kill_run(struct work *work)
{
	struct kill_work *kill = container_of(work, struct kill_work, work);
	int r;

	if (kill->tree) {
		r = cgroup_kill(kill->proc->cgroup);
		/* Root may have moved the leader elsewhere. */
		signal_leader(kill->proc, SIGKILL);
		if (r == 0)
			return;
		log_warn("process %d: its cgroup can't be killed, so its session is: %s",
			 (int)kill->proc->pid, error_errno_text(r));
	}
	if (kill->leader_lives)
		kill_session(kill->proc->pid);
}

static void kill_done(struct work *work)
{
	struct kill_work *kill = container_of(work, struct kill_work, work);
	struct proc *p = kill->proc;

	p->kills--;
	if (p->state == PROC_ENDED)
		proc_reap(p);
	if (kill->done)
		kill->done(kill->arg);
	proc_unref(p);
	free(kill);
}

/* Kills the others off the loop; the leader stays unreaped until that is over. */
static void kill_others(struct proc *p, proc_killed_fn *done, void *arg)
{
	struct kill_work *kill = mem_zalloc(sizeof(*kill));

	kill->work.run = kill_run;
	kill->work.done = kill_done;
	kill->proc = proc_ref(p);
	kill->done = done;
	kill->arg = arg;
	kill->tree = p->scope == KILL_SCOPE_TREE && p->cgroup;
	kill->leader_lives = !p->exited;
	p->kills++;
	work_submit(p->daemon->kill_workers, &kill->work);
}

int proc_terminate(struct proc *p)
{
	int r = p->exited ? 0 : signal_leader(p, SIGTERM);

	p->killed = true;
	proc_settle(p);
	return r;
}

int proc_kill(struct proc *p, proc_killed_fn *done, void *arg)
{
	bool tree = p->scope == KILL_SCOPE_TREE && p->cgroup;
	int r = 0;

	p->killed = true;
	if (p->exited) {
		/* The session is the leader's, and ends with it; the cgroup does not. */
		if (tree)
			kill_others(p, done, arg);
		proc_settle(p);
		return tree ? PROC_KILL_WAITS : PROC_KILL_DONE;
	}
	/* One write reaches all of a tree; its leader's end beforehand would only be in its way. */
	if (!tree)
		r = signal_leader(p, SIGKILL);
	if (r < 0)
		return r;
	if (p->scope == KILL_SCOPE_LEADER)
		return PROC_KILL_DONE;
	/* The group that the leader began with, all at once: most often that is the session. */
	if (!tree)
		kill(-p->pid, SIGKILL);
	kill_others(p, done, arg);
	return PROC_KILL_WAITS;
}

void proc_pass_deadline(struct proc *p)
{
	if (p->state == PROC_ENDED || p->deadline_passed)
		return;
	p->deadline_passed = true;
	taps_pass_deadline(p);
	proc_kill(p, NULL, NULL);
}

static void deadline_fired(void *arg)
{
	proc_pass_deadline(arg);
}

void proc_set_deadline(struct proc *p, uint64_t ms)
{
	timer_set_ms(&p->deadline, ms);
}

/* The request's config as it came, packed: small, and in one piece. */
static void keep_config(struct proc *p, const Process__ProcessConfig *config)
{
	Process__ProcessConfig none;

	if (!config) {
		process__process_config__init(&none);
		config = &none;
	}
	p->config_bytes = protobuf_c_message_get_packed_size(&config->base);
	p->config = mem_alloc(p->config_bytes);
	protobuf_c_message_pack(&config->base, p->config);
}

static void init_streams(struct proc *p, const struct spawn *spawn)
{
	input_init(&p->input, p->daemon->loop, spawn->stdin_fd, spawn->pty);
	if (spawn->pty) {
		output_init(&p->outputs[p->n_outputs++], p, OUTPUT_PTY, spawn->stdout_fd);
		return;
	}
	output_init(&p->outputs[p->n_outputs++], p, OUTPUT_STDOUT, spawn->stdout_fd);
	output_init(&p->outputs[p->n_outputs++], p, OUTPUT_STDERR, spawn->stderr_fd);
}

struct proc *proc_new(struct proc_table *table, struct context *daemon, const struct spawn *spawn,
		      struct cgroup *cgroup, const Process__StartRequest *request,
		      enum kill_scope scope)
{
	struct proc *p = mem_zalloc(sizeof(*p));

	p->daemon = daemon;
	p->table = table;
	p->refs = 1;
	p->pid = spawn->pid;
	p->pidfd = spawn->pidfd;
	p->is_pty = spawn->pty;
	p->scope = scope;
	p->cgroup = cgroup;
	if (request->opt_tag_case == PROCESS__START_REQUEST__OPT_TAG_TAG)
		p->tag = mem_strdup(request->tag);
	keep_config(p, request->process);
	p->started_ms = clock_monotonic_ms();
	TAILQ_INIT(&p->taps);
	timer_init(&p->deadline, daemon->loop, deadline_fired, p);
	timer_init(&p->stall, daemon->loop, taps_check_stall, p);
	init_streams(p, spawn);
	if (event_assign(&p->exit_event, daemon->loop->base, p->pidfd, EV_READ | EV_PERSIST,
			 proc_exited, p) < 0)
		fatal("event_assign failed");
	event_add(&p->exit_event, NULL);
	proc_table_add(table, p);
	return p;
}

struct proc *proc_ref(struct proc *p)
{
	p->refs++;
	return p;
}

void proc_unref(struct proc *p)
{
	if (--p->refs > 0)
		return;
	cgroup_release(p->cgroup);
	free(p->tag);
	free(p->config);
	free(p);
}

void proc_abandon(struct proc *p)
{
	unsigned i;

	event_del(&p->exit_event);
	timer_cancel(&p->deadline);
	timer_cancel(&p->stall);
	p->state = PROC_ENDED;
	input_end(&p->input);
	for (i = 0; i < p->n_outputs; i++)
		output_close(&p->outputs[i]);
	fd_close(&p->pidfd);
	budget_give(&p->daemon->budget, BUDGET_PROCESSES, 1);
	proc_unref(p);
}
