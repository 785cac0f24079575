/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/service.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "pty/cgroup/cgroups.h"
#include "pty/rpc.h"
#include "rpc/context.h"

struct pty_service *pty_service_new(struct context *context, struct cgroups *cgroups)
{
	struct pty_service *svc = mem_zalloc(sizeof(*svc));

	svc->context = context;
	svc->cgroups = cgroups;
	TAILQ_INIT(&svc->starting);
	svc->kill_scope = KILL_SCOPE_SESSION;
	proc_table_init(&svc->table, context->loop, &context->budget, &context->trim);
	return svc;
}

void pty_service_free(struct pty_service *svc)
{
	if (!svc)
		return;
	proc_table_clear(&svc->table);
	free(svc);
}

void pty_service_register(struct pty_service *svc, struct router *router)
{
	static const struct rpc_method *const methods[] = {
		&pty_rpc_start_method,	      &pty_rpc_connect_method,
		&pty_rpc_list_method,	      &pty_rpc_update_method,
		&pty_rpc_stream_input_method, &pty_rpc_send_input_method,
		&pty_rpc_send_signal_method,  &pty_rpc_close_stdin_method,
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(methods); i++)
		rpc_register(router, methods[i], 1, svc);
}

void pty_service_set_kill_scope(struct pty_service *svc, enum kill_scope scope)
{
	svc->kill_scope = scope;
}

void pty_service_set_limits(struct pty_service *svc, const struct limits *limits)
{
	svc->limits = *limits;
}

void pty_service_set_seccomp(struct pty_service *svc, struct seccomp_profiles *profiles,
			     bool no_new_privs)
{
	svc->seccomp = profiles;
	svc->no_new_privs = no_new_privs;
}

const uint64_t *pty_service_last_start(const struct pty_service *svc)
{
	return &svc->last_start_ms;
}

void pty_service_stats(const struct pty_service *svc, struct pty_stats *ret)
{
	const struct proc *p;

	*ret = svc->stats;
	ret->output_bytes = svc->table.output_bytes;
	ret->oom_kills = svc->table.oom_kills;
	ret->live = svc->table.n_live;
	ret->waiting = pty_starts_waiting(svc);
	ret->lingering = svc->cgroups ? svc->cgroups->n_lingering : 0;
	TAILQ_FOREACH (p, &svc->table.live, link)
		ret->readers += p->n_taps;
}

void pty_service_add_stats(struct pty_service *svc, const struct pty_stats *stats)
{
	svc->stats.started += stats->started;
	svc->stats.failed += stats->failed;
	svc->table.output_bytes += stats->output_bytes;
	svc->table.oom_kills += stats->oom_kills;
}

void pty_service_dump(const struct pty_service *svc)
{
	uint64_t now = clock_monotonic_ms();
	const struct proc *p;

	log_info("processes: %zu live, %zu exits retained, %zu being started, %zu zombies that a "
		 "tracer holds",
		 svc->table.n_live, svc->table.n_retained, pty_starts_waiting(svc),
		 svc->table.zombies.n);
	if (svc->cgroups)
		log_info("cgroups: %zu of ended processes still have members",
			 svc->cgroups->n_lingering);
	TAILQ_FOREACH (p, &svc->table.live, link)
		log_info("process %d: %s%s%s, up %ju s, %u readers (%u full), %ju + %ju bytes out, "
			 "%zu bytes of input waiting",
			 (int)p->pid, p->is_pty ? "terminal" : "pipes",
			 p->state == PROC_DRAINING ? ", exited" : "", p->killed ? ", killed" : "",
			 (uintmax_t)(now - p->started_ms) / 1000, p->n_taps, p->full_taps,
			 (uintmax_t)p->outputs[0].total_bytes, (uintmax_t)p->outputs[1].total_bytes,
			 p->input.queued_bytes);
}

struct proc *pty_find_process(struct pty_service *svc, const Process__ProcessSelector *selector,
			      struct error *err)
{
	struct proc *p;

	switch (selector ? selector->selector_case : PROCESS__PROCESS_SELECTOR__SELECTOR__NOT_SET) {
	case PROCESS__PROCESS_SELECTOR__SELECTOR_PID:
		p = proc_table_find(&svc->table, (pid_t)selector->pid);
		if (!p)
			error_set(err, ERROR_NOT_FOUND, "process with pid %u not found",
				  selector->pid);
		return p;
	case PROCESS__PROCESS_SELECTOR__SELECTOR_TAG:
		p = proc_table_find_tag(&svc->table, selector->tag);
		if (!p)
			error_set(err, ERROR_NOT_FOUND, "process with tag %s not found",
				  selector->tag);
		return p;
	default:
		error_set(err, ERROR_UNIMPLEMENTED, "the request selects no process");
		return NULL;
	}
}

void pty_rpc_tap_writable(struct rpc_call *call)
{
	struct tap *tap = rpc_call_data(call);

	if (tap)
		tap_writable(tap);
}

void pty_rpc_tap_keepalive(struct rpc_call *call)
{
	struct tap *tap = rpc_call_data(call);

	if (tap)
		tap_keepalive(tap);
}
