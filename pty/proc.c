/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/proc.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "pty/cgroup/cgroup.h"
#include "pty/output.h"
#include "pty/proc_audit.h"
#include "pty/proc_log.h"
#include "pty/proc_table.h"
#include "pty/start_key.h"
#include "pty/store.h"
#include "pty/zombie.h"
#include "rpc/context.h"

static const char *const state_names[] = {
	[PROC_RUNNING] = "running",
	[PROC_DRAINING] = "draining",
	[PROC_ENDED] = "ended",
};

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

/* Returns true if a reader has sent X-Envd-Explain-End. */
static bool proc_explains(const struct proc *p)
{
	const struct tap *tap;

	TAILQ_FOREACH (tap, &p->taps, link)
		if (tap->explain)
			return true;
	return p->explains_end;
}

/*
 * Reads the usage of all descendants, and the reached limits, from the cgroup. This takes about
 * 0.05 ms.
 */
static void proc_read_usage(struct proc *p)
{
	struct exit_status *exit_status = &p->exit_status;
	struct cgroup_usage used;

	if (!p->cgroup || !proc_explains(p) || cgroup_usage(p->cgroup, &used) < 0)
		return;
	exit_status->cpu_time_us = used.cpu_us;
	if (used.memory_peak_bytes)
		exit_status->memory_peak_kib = (uint32_t)(used.memory_peak_bytes / 1024);
	if (used.oom_kills)
		exit_status->limits_reached |= EXIT_LIMIT_MEMORY;
	if (used.refused_forks)
		exit_status->limits_reached |= EXIT_LIMIT_PIDS;
	if (used.throttled_times)
		exit_status->limits_reached |= EXIT_LIMIT_CPU;
}

/* Finds out whether a SIGKILL that neither a client nor the deadline sent was an OOM kill. */
static void proc_explain(struct proc *p)
{
	struct cgroup_usage usage;

	proc_read_usage(p);
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

void proc_reap(struct proc *p)
{
	if (p->state == PROC_ENDED && p->n_kill_works == 0 && p->pidfd >= 0)
		zombies_add(&p->table->zombies, p->pid, fd_take(&p->pidfd));
}

/* Sends the exit status to the readers, closes all descriptors, and leaves the table. */
static void proc_end(struct proc *p)
{
	unsigned i;

	for (i = 0; i < p->n_outputs; i++) {
		output_rest(&p->outputs[i]);
		if (p->grace_passed && !p->outputs[i].ended)
			output_discard(&p->outputs[i]);
		else
			output_close(&p->outputs[i]);
	}
	proc_set_state(p, PROC_ENDED);
	zombie_read_status(p->pid, p->pidfd, &p->exit_status);
	proc_explain(p);
	proc_log_end(p);
	proc_audit_end(p);
	timer_cancel(&p->deadline);
	timer_cancel(&p->grace);
	taps_end(p);
	taps_update(p);
	input_end(&p->input);
	pty_store_drop(p);
	proc_table_retire(p->table, p);
	proc_reap(p);
}

void proc_settle(struct proc *p)
{
	unsigned i;

	if (p->state == PROC_ENDED || !p->exited)
		return;
	if (p->state == PROC_RUNNING) {
		proc_set_state(p, PROC_DRAINING);
		input_end(&p->input);
		if (p->ends_with_leader)
			timer_set_ms(&p->grace, PROC_LEADER_GRACE_MS);
	}
	if (!p->killed && !p->deadline_passed && !p->grace_passed)
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
 * The pidfd is readable: the leader has exited. In most cases its outputs are at their end too, so
 * they are read here: the loop wakes up once instead of three times.
 */
static void proc_exited(evutil_socket_t fd, short what, void *arg)
{
	struct proc *p = arg;

	fd_event_del(&p->exit_event);
	p->exited = true;
	proc_pump(p);
	kills_update(p);
}

void proc_pass_deadline(struct proc *p)
{
	if (p->state == PROC_ENDED || p->deadline_passed)
		return;
	p->deadline_passed = true;
	taps_pass_deadline(p);
	proc_kill(p, p->scope, NULL, NULL);
}

static void grace_over(void *arg)
{
	struct proc *p = arg;

	p->grace_passed = true;
	proc_settle(p);
}

static void deadline_fired(void *arg)
{
	proc_pass_deadline(arg);
}

void proc_set_deadline(struct proc *p, uint64_t ms)
{
	p->deadline_ms = clock_monotonic_ms() + ms;
	timer_set_ms(&p->deadline, ms);
}

/* Keeps the request's config packed, which takes less memory than the decoded message. */
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

static void stdin_closed(struct input *in)
{
	pty_store_drop_stdin(container_of(in, struct proc, input));
}

static void init_streams(struct proc *p, const struct spawn *spawn)
{
	p->input.closed = stdin_closed;
	input_init(&p->input, p->daemon->loop, &p->daemon->budget, spawn->stdin_fd, spawn->pty);
	if (spawn->pty) {
		output_init(&p->outputs[p->n_outputs++], p, OUTPUT_PTY, spawn->stdout_fd);
		return;
	}
	output_init(&p->outputs[p->n_outputs++], p, OUTPUT_STDOUT, spawn->stdout_fd);
	output_init(&p->outputs[p->n_outputs++], p, OUTPUT_STDERR, spawn->stderr_fd);
}

struct proc *proc_new(struct proc_table *table, struct context *daemon, const struct spawn *spawn,
		      struct cgroup *cgroup, const Process__StartRequest *request,
		      enum kill_scope scope, const struct budget_share *share)
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
	p->share = *share;
	p->started_ms = clock_monotonic_ms();
	TAILQ_INIT(&p->taps);
	TAILQ_INIT(&p->kills);
	timer_init(&p->deadline, daemon->loop, deadline_fired, p);
	timer_init(&p->grace, daemon->loop, grace_over, p);
	timer_init(&p->stall, daemon->loop, taps_check_stall, p);
	init_streams(p, spawn);
	fd_event_init(&p->exit_event, daemon->loop, p->pidfd, EV_READ | EV_PERSIST, proc_exited, p);
	fd_event_add(&p->exit_event);
	proc_table_add(table, p);
	return p;
}

static size_t text_bytes(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

size_t proc_request_bytes(const struct log_request *request)
{
	return text_bytes(request->traceparent) + text_bytes(request->tracestate);
}

void proc_set_request(struct proc *p, const struct log_request *request)
{
	size_t parent = text_bytes(request->traceparent), state = text_bytes(request->tracestate);

	p->request = *request;
	if (!parent)
		return;
	p->trace = mem_alloc(parent + state);
	p->request.traceparent = memcpy(p->trace, request->traceparent, parent);
	if (state)
		p->request.tracestate = memcpy(p->trace + parent, request->tracestate, state);
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
	budget_share_clear(&p->share);
	kept_unref(p->kept);
	start_key_free(p->start_key);
	free(p->tag);
	free(p->trace);
	free(p->config);
	free(p);
}

void proc_abandon(struct proc *p)
{
	unsigned i;

	fd_event_del(&p->exit_event);
	timer_cancel(&p->deadline);
	timer_cancel(&p->grace);
	timer_cancel(&p->stall);
	proc_set_state(p, PROC_ENDED);
	/* The next daemon may adopt it from the store, with its stdin. */
	pty_store_release(p);
	p->input.closed = NULL;
	input_end(&p->input);
	for (i = 0; i < p->n_outputs; i++)
		output_close(&p->outputs[i]);
	fd_close(&p->pidfd);
	budget_give(&p->daemon->budget, BUDGET_PROCESSES, 1);
	proc_unref(p);
}
