/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/log_export.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "envd/control/http_client.h"
#include "rpc/codec/json.h"
#include "rpc/codec/rfc3339.h"

/* malloc adds a header to each of the two allocations of a line and rounds the size up. */
#define LINE_OVERHEAD_BYTES 24

struct line {
	char *json; /* an object without its closing brace */
	size_t n;
	size_t memory; /* bytes that the line uses in the queue */
	TAILQ_ENTRY(line) link;
};

/* A caller that waits until the queue is empty, or until its timer expires. */
struct flush {
	struct log_export *export;
	struct timer timer;
	void (*done)(void *arg, bool complete);
	void *arg;
	TAILQ_ENTRY(flush) link;
};

struct log_export {
	struct loop *loop;
	TAILQ_HEAD(, flush) flushes;
	pthread_mutex_t lock; /* over the queue */
	TAILQ_HEAD(, line) queue;
	size_t queued_bytes; /* the sum of `memory` */
	_Atomic unsigned long long dropped;
	unsigned long long dropped_before; /* by earlier daemons */
	unsigned long long told;	   /* number of dropped lines that the log has reported */
	int eventfd;			   /* wakes the loop: any thread may queue lines */
	struct fd_event event;

	struct http_url url;
	char *names; /* ,"instanceID":…,"envID":…} ; NULL until the target is known */
	struct http_exchange *exchange;
};

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "error";
	case LOG_LEVEL_WARN:
		return "warn";
	case LOG_LEVEL_DEBUG:
		return "debug";
	default:
		return "info";
	}
}

static void put_field(struct json_writer *out, const struct log_field *field)
{
	if ((field->kind == LOG_FIELD_TEXT || field->kind == LOG_FIELD_JSON) && !field->text)
		return;
	json_put_name(out, field->name);
	switch (field->kind) {
	case LOG_FIELD_TEXT:
		json_put_string(out, field->text);
		break;
	case LOG_FIELD_NUMBER:
		json_put_int(out, field->number);
		break;
	case LOG_FIELD_BOOL:
		json_put_bool(out, field->number != 0);
		break;
	case LOG_FIELD_JSON:
		json_put_raw(out, field->text, strlen(field->text));
		break;
	}
}

void log_export_put_fields(struct json_writer *out, const struct log_field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put_field(out, &fields[i]);
}

/* Writes the object without its closing brace. */
static void put_line(struct json_writer *out, const struct log_line *line)
{
	char number[24], timestamp[RFC3339_BYTES];
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	rfc3339_format(now.tv_sec, (int32_t)now.tv_nsec, timestamp);
	json_put_object(out);
	json_put_name(out, "level");
	json_put_string(out, level_name(line->level));
	json_put_name(out, "logger");
	json_put_string(out, line->logger ? line->logger : "envd");
	if (line->event_type) {
		json_put_name(out, "event_type");
		json_put_string(out, line->event_type);
	}
	if (line->request.operation) {
		snprintf(number, sizeof(number), "%" PRIu64, line->request.operation);
		json_put_name(out, "operation_id");
		json_put_string(out, number);
	}
	put_field(out, &LOG_TEXT("traceparent", line->request.traceparent));
	put_field(out, &LOG_TEXT("tracestate", line->request.tracestate));
	log_export_put_fields(out, line->fields, line->n_fields);
	json_put_name(out, "timestamp");
	json_put_string(out, timestamp);
	json_put_name(out, "message");
	json_put_string(out, line->text);
}

char *log_export_format(const struct log_line *line)
{
	struct json_writer out;
	size_t n;

	json_writer_init(&out, 0, 256);
	put_line(&out, line);
	json_put_object_end(&out);
	json_append(&out, "\n", 2); /* with the NUL */
	return json_writer_take(&out, &n);
}

static void line_free(struct line *line)
{
	free(line->json);
	free(line);
}

void log_export_line(const struct log_line *line, void *arg)
{
	struct log_export *x = arg;
	struct line *queued = mem_zalloc(sizeof(*queued)), *oldest;
	struct json_writer out;
	uint64_t one = 1;
	bool first;

	json_writer_init(&out, 0, 256);
	put_line(&out, line);
	queued->memory = sizeof(*queued) + out.capacity + 2 * LINE_OVERHEAD_BYTES;
	queued->json = json_writer_take(&out, &queued->n);
	if (queued->n > LOG_EXPORT_LINE_BYTES) {
		x->dropped++;
		line_free(queued);
		return;
	}
	pthread_mutex_lock(&x->lock);
	while (x->queued_bytes + queued->memory > LOG_EXPORT_QUEUE_BYTES) {
		oldest = TAILQ_FIRST(&x->queue);
		TAILQ_REMOVE(&x->queue, oldest, link);
		x->queued_bytes -= oldest->memory;
		x->dropped++;
		line_free(oldest);
	}
	first = TAILQ_EMPTY(&x->queue);
	TAILQ_INSERT_TAIL(&x->queue, queued, link);
	x->queued_bytes += queued->memory;
	pthread_mutex_unlock(&x->lock);
	if (first && write(x->eventfd, &one, sizeof(one)) < 0)
		x->dropped++;
}

static void send_next(struct log_export *x);

/* ---- flushing ---- */

static void flush_end(struct flush *flush, bool complete)
{
	TAILQ_REMOVE(&flush->export->flushes, flush, link);
	timer_cancel(&flush->timer);
	flush->done(flush->arg, complete);
	free(flush);
}

static void flushes_end(struct log_export *x, bool complete)
{
	struct flush *flush;

	while ((flush = TAILQ_FIRST(&x->flushes)))
		flush_end(flush, complete);
}

/* Drops the queued lines. Returns true if the queue was empty. */
static bool purge(struct log_export *x)
{
	struct line *line;
	bool empty;

	pthread_mutex_lock(&x->lock);
	empty = TAILQ_EMPTY(&x->queue);
	while ((line = TAILQ_FIRST(&x->queue))) {
		TAILQ_REMOVE(&x->queue, line, link);
		x->dropped++;
		line_free(line);
	}
	x->queued_bytes = 0;
	pthread_mutex_unlock(&x->lock);
	return empty;
}

static void on_flush_timeout(void *arg)
{
	struct flush *flush = arg;

	purge(flush->export);
	flush_end(flush, false);
}

void log_export_flush(struct log_export *x, unsigned max_ms, void (*done)(void *arg, bool complete),
		      void *arg)
{
	struct flush *flush;
	bool idle;

	pthread_mutex_lock(&x->lock);
	idle = TAILQ_EMPTY(&x->queue) && !x->exchange;
	pthread_mutex_unlock(&x->lock);
	if (idle || max_ms == 0) {
		done(arg, purge(x));
		return;
	}
	flush = mem_zalloc(sizeof(*flush));
	flush->export = x;
	flush->done = done;
	flush->arg = arg;
	timer_init(&flush->timer, x->loop, on_flush_timeout, flush);
	timer_set_ms(&flush->timer, max_ms);
	TAILQ_INSERT_TAIL(&x->flushes, flush, link);
	send_next(x);
}

/* ---- sending ---- */

/*
 * A line that was not delivered is counted but not sent again, because the collector may have
 * received it. Logging the failure would queue another line.
 */
static void on_sent(void *arg, int status, const char *body, size_t n)
{
	struct log_export *x = arg;

	x->exchange = NULL;
	if (status < 200 || status > 299)
		x->dropped++;
	send_next(x);
}

static void send_line(struct log_export *x, const char *json, size_t n)
{
	size_t names_bytes = strlen(x->names);
	char *body = mem_alloc(n + names_bytes);

	memcpy(body, json, n);
	memcpy(body + n, x->names, names_bytes);
	x->exchange =
		http_client_start(x->loop, &x->url, "POST", "Content-Type: application/json\r\n",
				  body, n + names_bytes, LOG_EXPORT_TIMEOUT_MS, on_sent, x);
	free(body);
}

/* Sends the oldest line, if no request is in progress. */
static void send_next(struct log_export *x)
{
	unsigned long long dropped = x->dropped;
	struct line *line;
	char text[96];

	if (x->exchange || !x->names)
		return;
	pthread_mutex_lock(&x->lock);
	line = TAILQ_FIRST(&x->queue);
	if (line) {
		TAILQ_REMOVE(&x->queue, line, link);
		x->queued_bytes -= line->memory;
	}
	pthread_mutex_unlock(&x->lock);
	if (!line) {
		flushes_end(x, true);
		return;
	}
	if (dropped != x->told) {
		snprintf(text, sizeof(text), "%llu log lines were dropped", dropped - x->told);
		x->told = dropped;
		log_export_line(&(struct log_line){.level = LOG_LEVEL_WARN, .text = text}, x);
	}
	send_line(x, line->json, line->n);
	line_free(line);
}

static void on_lines(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) > 0)
		send_next(arg);
}

struct log_export *log_export_new(struct loop *loop)
{
	struct log_export *x = mem_zalloc(sizeof(*x));

	x->loop = loop;
	TAILQ_INIT(&x->queue);
	TAILQ_INIT(&x->flushes);
	pthread_mutex_init(&x->lock, NULL);
	x->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	/* Fatal: at the start. */
	if (x->eventfd < 0)
		fatal("eventfd failed");
	fd_event_init(&x->event, loop, x->eventfd, EV_READ | EV_PERSIST, on_lines, x);
	fd_event_add(&x->event);
	return x;
}

void log_export_free(struct log_export *x)
{
	struct line *line;

	if (!x)
		return;
	http_client_cancel(x->exchange);
	flushes_end(x, false);
	fd_event_del(&x->event);
	close(x->eventfd);
	while ((line = TAILQ_FIRST(&x->queue)) != NULL) {
		TAILQ_REMOVE(&x->queue, line, link);
		line_free(line);
	}
	pthread_mutex_destroy(&x->lock);
	free(x->names);
	free(x);
}

void log_export_set_target(struct log_export *x, const char *address, const char *instance_id,
			   const char *env_id)
{
	struct json_writer out;
	struct http_url url;
	size_t n;

	if (http_url_parse(address, &url) < 0) {
		log_warn("the log collector's address is not a numeric URL: %s", address);
		return;
	}
	json_writer_init(&out, 0, 128);
	json_put_object(&out);
	json_put_name(&out, "instanceID");
	json_put_string(&out, instance_id);
	json_put_name(&out, "envID");
	json_put_string(&out, env_id);
	json_put_object_end(&out);
	json_append(&out, "", 1);
	free(x->names);
	x->names = json_writer_take(&out, &n);
	x->names[0] = ','; /* continues the line's object */
	x->url = url;
	send_next(x);
}

unsigned long long log_export_dropped(const struct log_export *x)
{
	return x->dropped + x->dropped_before;
}

void log_export_add_dropped(struct log_export *x, unsigned long long n)
{
	x->dropped_before += n;
}
