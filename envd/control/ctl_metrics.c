/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /metrics: the machine's CPU, memory and disk usage as JSON. With `Accept:
 * application/openmetrics-text`: these figures and the daemon's own in OpenMetrics 1.0.
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
#include "envd/control/cpus.h"
#include "envd/control/metrics.h"
#include "envd/control/oom_log.h"
#include "envd/control/openmetrics.h"
#include "pty/accounting.h"
#include "rpc/codec/json.h"
#include "rpc/http/router.h"
#include "rpc/http/stream.h"

#define PROC_FILE_MAX_BYTES (1024 * 1024)

/* A worker reads the figures, because statfs(2) of "/", the guest's root file system, can block. */
struct metrics_call {
	struct work work;
	struct stream *stream;
	struct control *control;
	struct metrics_figures figures;
	struct accounting *processes; /* NULL: not requested, or not recorded */
};

static void metrics(struct stream *s, void *arg);
static void metrics_run(struct work *work);
static void metrics_done(struct work *work);

void ctl_metrics_register(struct control *c, struct router *router)
{
	router_add(router, "GET", "/metrics", metrics, c);
}

static bool wants_openmetrics(const struct stream *s)
{
	const char *accept = stream_header_in(s, "accept");

	return accept && strstr(accept, "application/openmetrics-text");
}

static void metrics(struct stream *s, void *arg)
{
	struct metrics_call *m = arena_zalloc(stream_arena(s), sizeof(*m));
	struct control *c = arg;

	stream_set_quiet(s);
	m->stream = stream_ref(s);
	m->control = c;
	if (wants_openmetrics(s))
		m->processes = accounting_new(c->pty);
	m->work.run = metrics_run;
	m->work.done = metrics_done;
	work_submit(c->context->file_workers, &m->work);
}

static void read_own_memory(struct metrics_figures *f)
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
	struct metrics_figures *f = &m->figures;
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
	accounting_read(m->processes);
}

static void put(struct json_writer *out, const char *name, uint64_t value)
{
	json_put_name(out, name);
	json_put_uint(out, value);
}

/* Adds the member, unless the kills are not known yet. */
static void put_oom_kills(struct json_writer *out, const struct oom_log *oom_log)
{
	const struct oom_kill *kills;
	size_t n, i;

	if (!oom_log_kills(oom_log, &kills, &n))
		return;
	json_put_name(out, "oom_kills");
	json_put_array(out);
	for (i = 0; i < n; i++) {
		json_put_object(out);
		put(out, "seq", kills[i].seq);
		json_put_name(out, "process");
		json_put_string(out, kills[i].process);
		json_put_object_end(out);
	}
	json_put_array_end(out);
}

static void reply_json(struct stream *s, const struct control *c, const struct metrics_figures *f)
{
	struct cpus_figures cpus;
	uint64_t used = f->memory.total_bytes - f->memory.available_bytes;
	struct json_writer out;

	cpus_read(c->cpus, &cpus);
	json_writer_init(&out, 0, 512);
	json_put_object(&out);
	json_put_name(&out, "ts");
	json_put_int(&out, time(NULL));
	json_put_name(&out, "cpu_count");
	json_put_uint(&out, f->cpu.count);
	json_put_name(&out, "cpu_used_pct");
	json_put_double(&out, (double)(uint64_t)(f->cpu_percent * 100 + 0.5) / 100);
	put(&out, "cpu_possible", cpus.possible);
	put(&out, "cpu_target", cpus.target);
	put(&out, "cpu_target_attempts", cpus.attempts);
	put(&out, "cpu_write_pending_ms", cpus.write_pending_ms);
	put(&out, "mem_total", f->memory.total_bytes);
	put(&out, "mem_used", used);
	put(&out, "mem_cache", f->memory.cache_bytes);
	put(&out, "disk_used", f->disk_used);
	put(&out, "disk_total", f->disk_total);
	put_oom_kills(&out, c->oom_log);
	/* The reference dropped these in 0.9.1; clients of earlier versions read them. */
	put(&out, "mem_total_mib", f->memory.total_bytes >> 20);
	put(&out, "mem_used_mib", used >> 20);
	json_put_object_end(&out);
	json_append(&out, "\n", 1);
	stream_reply(s, 200, "application/json", out.data, out.n);
	json_writer_clear(&out);
}

static void reply_openmetrics(struct metrics_call *m)
{
	struct evbuffer *out = evbuffer_new();

	openmetrics_put(out, m->control, &m->figures, m->processes);
	stream_header(m->stream, "Content-Type", OPENMETRICS_TYPE);
	stream_head(m->stream, 200, (int64_t)evbuffer_get_length(out));
	stream_send(m->stream, out);
	stream_finish(m->stream);
	evbuffer_free(out);
}

static void metrics_done(struct work *work)
{
	struct metrics_call *m = container_of(work, struct metrics_call, work);
	struct control *c = m->control;
	struct metrics_cpu before = {.total = c->cpu_total, .busy = c->cpu_busy};

	m->figures.cpu_percent = metrics_cpu_percent(&before, &m->figures.cpu);
	c->cpu_total = m->figures.cpu.total;
	c->cpu_busy = m->figures.cpu.busy;
	stream_header(m->stream, "Cache-Control", "no-store");
	if (wants_openmetrics(m->stream))
		reply_openmetrics(m);
	else
		reply_json(m->stream, c, &m->figures);
	accounting_free(m->processes);
	stream_unref(m->stream);
}
