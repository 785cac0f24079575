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

struct line {
	char *json; /* an object without its closing brace */
	size_t n;
	TAILQ_ENTRY(line) link;
};

struct log_export {
	struct loop *loop;
	pthread_mutex_t lock; /* over the queue */
	TAILQ_HEAD(, line) queue;
	size_t queued_bytes;
	_Atomic unsigned long long dropped;
	unsigned long long told; /* of the dropped */
	int eventfd;		 /* lines come on any thread */
	struct event event;

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

/* The object, closed or open. */
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
	json_put_string(out, "envd");
	json_put_name(out, "timestamp");
	json_put_string(out, timestamp);
	json_put_name(out, "message");
	json_put_string(out, line->text);
	if (line->event_type) {
		json_put_name(out, "event_type");
		json_put_string(out, line->event_type);
	}
	if (line->operation) {
		snprintf(number, sizeof(number), "%" PRIu64, line->operation);
		json_put_name(out, "operation_id");
		json_put_string(out, number);
	}
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

void log_export_line(const struct log_line *said, void *arg)
{
	struct log_export *x = arg;
	struct line *line = mem_zalloc(sizeof(*line)), *oldest;
	struct json_writer out;
	uint64_t one = 1;
	bool first;

	json_writer_init(&out, 0, 256);
	put_line(&out, said);
	line->json = json_writer_take(&out, &line->n);
	if (line->n > LOG_EXPORT_LINE_BYTES) {
		x->dropped++;
		line_free(line);
		return;
	}
	pthread_mutex_lock(&x->lock);
	while (x->queued_bytes + line->n > LOG_EXPORT_QUEUE_BYTES) {
		oldest = TAILQ_FIRST(&x->queue);
		TAILQ_REMOVE(&x->queue, oldest, link);
		x->queued_bytes -= oldest->n;
		x->dropped++;
		line_free(oldest);
	}
	first = TAILQ_EMPTY(&x->queue);
	TAILQ_INSERT_TAIL(&x->queue, line, link);
	x->queued_bytes += line->n;
	pthread_mutex_unlock(&x->lock);
	if (first && write(x->eventfd, &one, sizeof(one)) < 0)
		x->dropped++;
}

static void send_next(struct log_export *x);

/*
 * A line that was refused or not delivered is not sent again: the collector may have it. Nothing
 * is logged of it, for that would be another line; it is counted.
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

/* One at a time, the oldest first. */
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
		x->queued_bytes -= line->n;
	}
	pthread_mutex_unlock(&x->lock);
	if (!line)
		return;
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
	pthread_mutex_init(&x->lock, NULL);
	x->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (x->eventfd < 0)
		fatal("eventfd failed");
	event_assign(&x->event, loop->base, x->eventfd, EV_READ | EV_PERSIST, on_lines, x);
	event_add(&x->event, NULL);
	return x;
}

void log_export_free(struct log_export *x)
{
	struct line *line;

	if (!x)
		return;
	http_client_cancel(x->exchange);
	event_del(&x->event);
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
		log_warn("the log collector's address is no numeric URL: %s", address);
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
	x->names[0] = ','; /* it continues the line's object */
	x->url = url;
	send_next(x);
}

unsigned long long log_export_dropped(const struct log_export *x)
{
	return x->dropped;
}
