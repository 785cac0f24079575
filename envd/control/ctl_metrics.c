/*
 * GET /metrics: what the machine uses, as JSON; with `Accept: application/openmetrics-text` the
 * same figures and the daemon's own in that form (OpenMetrics 1.0).
 */
#include <event2/buffer.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/work.h"
#include "envd/control/control.h"
#include "envd/control/log_export.h"
#include "envd/control/metrics.h"
#include "rpc/json.h"
#include "rpc/router.h"
#include "rpc/server.h"
#include "rpc/stream.h"

#define PROC_FILE_MAX_BYTES (1024 * 1024)
#define OPENMETRICS_TYPE    "application/openmetrics-text; version=1.0.0; charset=utf-8"

struct figures {
	struct metrics_memory memory;
	struct metrics_cpu cpu;
	double cpu_percent;
	uint64_t disk_total, disk_used;
	uint64_t own_memory; /* resident bytes of the daemon */
};

/* The root file system is the guest's, and statfs of it can wait: on a worker. */
struct metrics_call {
	struct work work;
	struct stream *stream;
	struct control *control;
	struct figures figures;
};

static void read_own_memory(struct figures *f)
{
	char *statm, *at;

	if (fd_read_file(AT_FDCWD, "/proc/self/statm", 4096, &statm, NULL) < 0)
		return;
	at = strchr(statm, ' ');
	if (at)
		f->own_memory = strtoull(at, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
	free(statm);
}

static void metrics_run(struct work *work)
{
	struct metrics_call *m = container_of(work, struct metrics_call, work);
	struct figures *f = &m->figures;
	struct statfs st;
	char *text;

	if (fd_read_file(AT_FDCWD, "/proc/meminfo", PROC_FILE_MAX_BYTES, &text, NULL) == 0) {
		metrics_parse_memory(text, &f->memory);
		free(text);
	}
	if (fd_read_file(AT_FDCWD, "/proc/stat", PROC_FILE_MAX_BYTES, &text, NULL) == 0) {
		metrics_parse_cpu(text, &f->cpu);
		free(text);
	}
	if (statfs("/", &st) == 0) {
		f->disk_total = (uint64_t)st.f_blocks * (uint64_t)st.f_bsize;
		f->disk_used = f->disk_total - (uint64_t)st.f_bavail * (uint64_t)st.f_bsize;
	}
	read_own_memory(f);
}

static void reply_json(struct stream *s, const struct figures *f)
{
	uint64_t used = f->memory.total_bytes - f->memory.available_bytes;
	struct json_writer out;

	json_writer_init(&out, 0, 512);
	json_put_object(&out);
	json_put_name(&out, "ts");
	json_put_int(&out, time(NULL));
	json_put_name(&out, "cpu_count");
	json_put_uint(&out, f->cpu.count);
	json_put_name(&out, "cpu_used_pct");
	json_put_double(&out, (double)(uint64_t)(f->cpu_percent * 100 + 0.5) / 100);
	json_put_name(&out, "mem_total_mib");
	json_put_uint(&out, f->memory.total_bytes >> 20);
	json_put_name(&out, "mem_used_mib");
	json_put_uint(&out, used >> 20);
	json_put_name(&out, "mem_total");
	json_put_uint(&out, f->memory.total_bytes);
	json_put_name(&out, "mem_used");
	json_put_uint(&out, used);
	json_put_name(&out, "mem_cache");
	json_put_uint(&out, f->memory.cache_bytes);
	json_put_name(&out, "disk_used");
	json_put_uint(&out, f->disk_used);
	json_put_name(&out, "disk_total");
	json_put_uint(&out, f->disk_total);
	json_put_object_end(&out);
	json_append(&out, "\n", 1);
	stream_reply(s, 200, "application/json", out.data, out.n);
	json_writer_clear(&out);
}

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
				 "# HELP envd_budget_used What the daemon holds for its peers.\n");
	for (kind = 0; kind < BUDGET_KINDS; kind++)
		evbuffer_add_printf(out, "envd_budget_used{kind=\"%s\"} %zu\n",
				    budget_kind_name((enum budget_kind)kind), b->used[kind]);
	evbuffer_add_printf(out, "# TYPE envd_budget_limit gauge\n"
				 "# HELP envd_budget_limit How much of it there may be.\n");
	for (kind = 0; kind < BUDGET_KINDS; kind++)
		evbuffer_add_printf(out, "envd_budget_limit{kind=\"%s\"} %zu\n",
				    budget_kind_name((enum budget_kind)kind), b->limit[kind]);
}

static void reply_openmetrics(struct stream *s, const struct control *c, const struct figures *f)
{
	struct evbuffer *out = evbuffer_new();

	if (!out)
		fatal("evbuffer_new failed");
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
	put_gauge(out, "sandbox_disk_used_bytes", "Of it, what is not available.",
		  (double)f->disk_used);
	put_gauge(out, "envd_resident_memory_bytes", "Resident memory of the daemon.",
		  (double)f->own_memory);
	put_counter(out, "envd_requests", "Requests begun.", server_requests(c->server));
	put_counter(out, "envd_log_lines_dropped", "Log lines that were not delivered.",
		    c->log_export ? log_export_dropped(c->log_export) : 0);
	put_budget(out, &c->state->budget);
	evbuffer_add_printf(out, "# EOF\n");
	stream_header(s, "Content-Type", OPENMETRICS_TYPE);
	stream_head(s, 200, (int64_t)evbuffer_get_length(out));
	stream_send(s, out);
	stream_finish(s);
	evbuffer_free(out);
}

static void metrics_done(struct work *work)
{
	struct metrics_call *m = container_of(work, struct metrics_call, work);
	const char *accept = stream_header_in(m->stream, "accept");
	struct control *c = m->control;
	struct metrics_cpu before = {.total = c->cpu_total, .busy = c->cpu_busy};

	m->figures.cpu_percent = metrics_cpu_percent(&before, &m->figures.cpu);
	c->cpu_total = m->figures.cpu.total;
	c->cpu_busy = m->figures.cpu.busy;
	stream_header(m->stream, "Cache-Control", "no-store");
	if (accept && strstr(accept, "application/openmetrics-text"))
		reply_openmetrics(m->stream, c, &m->figures);
	else
		reply_json(m->stream, &m->figures);
	stream_unref(m->stream);
}

static void metrics(struct stream *s, void *arg)
{
	struct metrics_call *m = arena_zalloc(stream_arena(s), sizeof(*m));
	struct control *c = arg;

	m->stream = stream_ref(s);
	m->control = c;
	m->work.run = metrics_run;
	m->work.done = metrics_done;
	work_submit(c->state->file_workers, &m->work);
}

void ctl_metrics_register(struct control *c, struct router *router)
{
	router_add(router, "GET", "/metrics", metrics, c);
}
