/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/openmetrics.h"

#include <event2/buffer.h>
#include <string.h>

#include "envd/control/control.h"
#include "envd/control/cpus.h"
#include "envd/control/freezer.h"
#include "envd/control/log_export.h"
#include "envd/control/metrics.h"
#include "envd/control/oom_log.h"
#include "pty/accounting.h"
#include "pty/proc.h"
#include "pty/service.h"
#include "rpc/http/server.h"

static void put_gauge(struct evbuffer *out, const char *name, const char *help, double value)
{
	evbuffer_add_printf(out, "# TYPE %s gauge\n# HELP %s %s\n%s %.17g\n", name, name, help,
			    name, value);
}

static void put_counter(struct evbuffer *out, const char *name, const char *help,
			unsigned long long value)
{
	evbuffer_add_printf(out, "# TYPE %s counter\n# HELP %s %s\n%s_total %llu\n", name, name,
			    help, name, value);
}

static void put_budget(struct evbuffer *out, const struct budget *b)
{
	int kind;

	evbuffer_add_printf(out, "# TYPE envd_budget_used gauge\n"
				 "# HELP envd_budget_used Objects and bytes held for peers.\n");
	for (kind = 0; kind < BUDGET_KINDS; kind++)
		evbuffer_add_printf(out, "envd_budget_used{kind=\"%s\"} %zu\n",
				    budget_kind_name((enum budget_kind)kind), b->used[kind]);
	evbuffer_add_printf(out, "# TYPE envd_budget_limit gauge\n"
				 "# HELP envd_budget_limit Limits of envd_budget_used.\n");
	for (kind = 0; kind < BUDGET_KINDS; kind++)
		evbuffer_add_printf(out, "envd_budget_limit{kind=\"%s\"} %zu\n",
				    budget_kind_name((enum budget_kind)kind), b->limit[kind]);
}

static void put_budget_classes(struct evbuffer *out, const struct budget *b)
{
	int i;

	evbuffer_add_printf(
		out, "# TYPE envd_budget_class_used_bytes gauge\n"
		     "# HELP envd_budget_class_used_bytes Bytes held for peers, by class.\n");
	for (i = 0; i < BUDGET_CLASSES; i++)
		evbuffer_add_printf(out, "envd_budget_class_used_bytes{class=\"%s\"} %zu\n",
				    budget_class_name((enum budget_class)i), b->classes[i].used);
	evbuffer_add_printf(out, "# TYPE envd_budget_class_limit_bytes gauge\n"
				 "# HELP envd_budget_class_limit_bytes Limits of the classes.\n");
	for (i = 0; i < BUDGET_CLASSES; i++)
		evbuffer_add_printf(out, "envd_budget_class_limit_bytes{class=\"%s\"} %zu\n",
				    budget_class_name((enum budget_class)i), b->classes[i].limit);
}

static void put_machine(struct evbuffer *out, const struct metrics_figures *f)
{
	put_gauge(out, "sandbox_cpus", "CPUs of the sandbox.", f->cpu.count);
	put_gauge(out, "sandbox_cpu_used_ratio", "Busy share of all CPUs since the last reading.",
		  f->cpu_percent / 100);
	put_gauge(out, "sandbox_memory_total_bytes", "Memory of the sandbox.",
		  (double)f->memory.total_bytes);
	put_gauge(out, "sandbox_memory_used_bytes", "Memory that is not available.",
		  (double)(f->memory.total_bytes - f->memory.available_bytes));
	put_gauge(out, "sandbox_memory_cache_bytes", "Page cache and reclaimable slab.",
		  (double)f->memory.cache_bytes);
	put_gauge(out, "sandbox_disk_total_bytes", "Size of the root file system.",
		  (double)f->disk_total);
	put_gauge(out, "sandbox_disk_used_bytes", "Bytes of it that are not available.",
		  (double)f->disk_used);
}

static void put_cpus(struct evbuffer *out, const struct control *c)
{
	struct cpus_figures cpus;

	cpus_read(c->cpus, &cpus);
	put_gauge(out, "sandbox_cpus_possible", "CPUs that can be brought online.", cpus.possible);
	put_gauge(out, "sandbox_cpus_target", "CPUs that /init requested; 0: none.", cpus.target);
	put_gauge(out, "sandbox_cpus_target_attempts", "Runs since that target was set.",
		  cpus.attempts);
	put_gauge(out, "sandbox_cpus_write_pending_seconds",
		  "Age of the write in progress to cpuN/online; 0: none.",
		  (double)cpus.write_pending_ms / 1000);
	put_counter(out, "sandbox_oom_kills", "OOM kills in the kernel's log.",
		    oom_log_total(c->oom_log));
}

static void put_processes(struct evbuffer *out, const struct pty_service *pty)
{
	struct pty_stats stats;

	pty_service_stats(pty, &stats);
	put_gauge(out, "envd_processes", "Live processes.", (double)stats.live);
	put_gauge(out, "envd_process_readers", "Streams that follow a process.",
		  (double)stats.readers);
	put_gauge(out, "envd_starts_waiting", "Starts that wait for a worker or for their exec.",
		  (double)stats.waiting);
	put_gauge(out, "envd_cgroups_lingering",
		  "Cgroups whose process has ended while descendants still run.",
		  (double)stats.lingering);
	put_counter(out, "envd_processes_started", "Processes started.", stats.started);
	put_counter(out, "envd_process_start_failures", "Processes that could not be started.",
		    stats.failed);
	put_counter(out, "envd_oom_kills", "Processes that the OOM killer killed.",
		    stats.oom_kills);
	put_counter(out, "envd_process_output_bytes", "Bytes that processes have written.",
		    stats.output_bytes);
}

/* ---- the accounting of processes ---- */

/* Appends the value of a label. Adds no quotes. Escapes `\`, `"` and line feed. */
static void put_label(struct evbuffer *out, const char *value)
{
	size_t n;

	for (;;) {
		n = strcspn(value, "\\\"\n");
		evbuffer_add(out, value, n);
		value += n;
		if (!*value)
			return;
		evbuffer_add_printf(out, "\\%c", *value == '\n' ? 'n' : *value);
		value++;
	}
}

static void put_row(struct evbuffer *out, const char *name, const struct proc *p, double value)
{
	evbuffer_add_printf(out, "%s{pid=\"%d\",tag=\"", name, (int)p->pid);
	put_label(out, p->tag ? p->tag : "");
	evbuffer_add_printf(out, "\"} %.17g\n", value);
}

static void put_accounting(struct evbuffer *out, const struct accounting *a)
{
	const struct accounting_row *row;

	if (!a)
		return;
	evbuffer_add_printf(
		out, "# TYPE process_cpu_seconds counter\n"
		     "# UNIT process_cpu_seconds seconds\n"
		     "# HELP process_cpu_seconds CPU time of a process and its descendants.\n");
	for (row = a->rows; row < a->rows + a->n; row++)
		if (row->known)
			put_row(out, "process_cpu_seconds_total", row->proc,
				(double)row->usage.cpu_us / 1e6);
	evbuffer_add_printf(
		out, "# TYPE process_memory_bytes gauge\n"
		     "# UNIT process_memory_bytes bytes\n"
		     "# HELP process_memory_bytes Memory of a process and its descendants.\n");
	for (row = a->rows; row < a->rows + a->n; row++)
		if (row->known && row->usage.has_memory)
			put_row(out, "process_memory_bytes", row->proc,
				(double)row->usage.memory_bytes);
	evbuffer_add_printf(out,
			    "# TYPE process_memory_peak_bytes gauge\n"
			    "# UNIT process_memory_peak_bytes bytes\n"
			    "# HELP process_memory_peak_bytes Maximum of process_memory_bytes.\n");
	for (row = a->rows; row < a->rows + a->n; row++)
		if (row->known && row->usage.has_memory)
			put_row(out, "process_memory_peak_bytes", row->proc,
				(double)row->usage.memory_peak_bytes);
}

/* ---- all of it ---- */

void openmetrics_put(struct evbuffer *out, const struct control *c, const struct metrics_figures *f,
		     const struct accounting *processes)
{
	const struct freezer_stats *freezes = freezer_stats(c->freezer);

	put_machine(out, f);
	put_cpus(out, c);
	put_gauge(out, "envd_resident_memory_bytes", "Resident memory of the daemon.",
		  (double)f->own_memory);
	put_counter(out, "envd_requests", "Requests begun.", server_requests(c->server));
	put_counter(out, "envd_log_lines_dropped", "Log lines that were not delivered.",
		    c->log_export ? log_export_dropped(c->log_export) : 0);
	put_processes(out, c->pty);
	put_counter(out, "envd_freezes", "Freezes of the workload.", freezes->freezes);
	put_counter(out, "envd_thaws", "Thaws of the workload.", freezes->thaws);
	put_counter(out, "envd_thaws_by_watchdog", "Thaws by the watchdog of a freeze.",
		    freezes->rescues);
	put_budget(out, &c->context->budget);
	put_budget_classes(out, &c->context->budget);
	put_accounting(out, processes);
	evbuffer_add_printf(out, "# EOF\n");
}
