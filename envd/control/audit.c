/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/audit.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/work.h"
#include "envd/control/log_export.h"
#include "rpc/codec/json.h"
#include "rpc/codec/rfc3339.h"
#include "rpc/http/router.h"
#include "rpc/http/stream.h"

/* Lines as bytes. */
struct batch {
	char *bytes;
	size_t n, room;
	uint64_t lines;
	uint64_t reported; /* a line of the batch reports so many as lost */
};

/* A POST /audit/reopen that waits for the worker. */
struct reopen_call {
	struct audit *audit;
	struct stream *stream; /* a reference */
	bool running;	       /* the worker reopens for it */
	TAILQ_ENTRY(reopen_call) link;
};

TAILQ_HEAD(reopen_calls, reopen_call);

struct audit {
	struct loop *loop;
	const char *target; /* a path */
	bool is_socket;
	struct workers *workers; /* one thread */
	struct batch queue;
	uint64_t dropped;
	uint64_t reported; /* of `dropped`: a line has said so */
	bool reopen;	   /* before the next write */
	struct reopen_calls calls;
	void (*drained)(void *arg); /* NULL: nobody waits */
	void *drained_arg;
	struct timer drain_timer;
	bool failing; /* the log knows that nothing is written */

	/* The worker's, while busy. */
	struct work work;
	bool busy;
	bool reopening;
	struct batch writing;
	int fd;
	bool cut;   /* the file ends inside a line */
	int result; /* 0 or -errno */
};

static void audit_run(struct work *work);
static void audit_done(struct work *work);

/* ---- events, on the loop ---- */

static void put_event(struct json_writer *out, const struct audit_event *event)
{
	uint64_t operation = event->request.operation;
	char number[24], timestamp[RFC3339_BYTES];
	const struct log_field common[] = {
		LOG_TEXT("timestamp", timestamp),
		LOG_TEXT("event", event->name),
		LOG_TEXT("operation_id", operation ? number : NULL),
		LOG_TEXT("traceparent", event->request.traceparent),
		LOG_TEXT("asked_by", event->asked_by),
	};
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	rfc3339_format(now.tv_sec, (int32_t)now.tv_nsec, timestamp);
	snprintf(number, sizeof(number), "%" PRIu64, operation);
	json_put_object(out);
	log_export_put_fields(out, common, ARRAY_LEN(common));
	log_export_put_fields(out, event->fields, event->n_fields);
	json_put_object_end(out);
	json_append(out, "\n", 1);
}

static void batch_add(struct batch *batch, const char *bytes, size_t n)
{
	if (!batch->bytes || batch->n + n > batch->room) {
		batch->room = 2 * (batch->n + n);
		batch->bytes = mem_realloc(batch->bytes, batch->room);
	}
	memcpy(batch->bytes + batch->n, bytes, n);
	batch->n += n;
	batch->lines++;
}

static void batch_clear(struct batch *batch)
{
	free(batch->bytes);
	*batch = (struct batch){0};
}

/* Gives the queue to the worker, unless the worker is busy. */
static void submit(struct audit *a)
{
	if (a->busy || (!a->queue.n && !a->reopen))
		return;
	a->busy = true;
	a->reopening = a->reopen;
	a->reopen = false;
	a->writing = a->queue;
	a->queue = (struct batch){0};
	work_submit(a->workers, &a->work);
}

/* The first line after lines that were lost. */
static void report_drops(struct audit *a)
{
	uint64_t lines = a->dropped - a->reported;
	struct json_writer out;

	if (!lines)
		return;
	a->reported = a->dropped;
	json_writer_init(&out, 0, 128);
	put_event(&out,
		  &(struct audit_event){.name = "dropped", LOG_FIELDS(LOG_NUMBER("lines", lines))});
	batch_add(&a->queue, out.data, out.n);
	a->queue.lines--;
	a->queue.reported += lines;
	json_writer_clear(&out);
}

/* The lines that wait came after the lines that could not be written. */
static void put_drops_first(struct audit *a)
{
	struct batch waiting = a->queue;

	if (a->dropped == a->reported)
		return;
	a->queue = (struct batch){0};
	report_drops(a);
	batch_add(&a->queue, waiting.bytes, waiting.n);
	a->queue.lines = waiting.lines;
	a->queue.reported += waiting.reported;
	batch_clear(&waiting);
}

static void on_event(const struct audit_event *event, void *arg)
{
	struct audit *a = arg;
	struct json_writer out;

	json_writer_init(&out, 0, 256);
	put_event(&out, event);
	if (a->queue.n + a->writing.n + out.n > AUDIT_QUEUE_BYTES) {
		a->dropped++;
	} else {
		report_drops(a);
		batch_add(&a->queue, out.data, out.n);
	}
	json_writer_clear(&out);
	submit(a);
}

/* ---- the worker ---- */

/* O_NONBLOCK, because a FIFO without a reader would block (fifo(7)). */
static int open_file(const char *path)
{
	int fd =
		open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);

	return fd < 0 ? -errno : fd;
}

static int open_socket(const char *path)
{
	const struct timeval timeout = {.tv_sec = AUDIT_SEND_TIMEOUT_S};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

static int open_target(const struct audit *a)
{
	return a->is_socket ? open_socket(a->target) : open_file(a->target);
}

static int send_all(int fd, const char *p, size_t n)
{
	ssize_t sent;

	while (n) {
		sent = send(fd, p, n, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -errno;
		p += sent;
		n -= (size_t)sent;
	}
	return 0;
}

/* A file that ends inside a line, because the disk was full, gets the line's end first. */
static int write_batch(struct audit *a)
{
	int r;

	if (a->is_socket)
		return send_all(a->fd, a->writing.bytes, a->writing.n);
	r = a->cut ? fd_write_all(a->fd, "\n", 1) : 0;
	if (r == 0)
		r = fd_write_all(a->fd, a->writing.bytes, a->writing.n);
	a->cut = r < 0;
	return r;
}

static void audit_run(struct work *work)
{
	struct audit *a = container_of(work, struct audit, work);

	if (a->reopening)
		fd_close(&a->fd);
	if (a->fd < 0) {
		a->cut = false;
		a->fd = open_target(a);
	}
	a->result = a->fd < 0 ? a->fd : a->writing.n ? write_batch(a) : 0;
	/* A collector that was cut off in a line gets whole lines on its next connection. */
	if (a->result < 0 && a->is_socket)
		fd_close(&a->fd);
	if (a->fd < 0)
		a->fd = -1;
}

/* ---- afterwards, on the loop ---- */

static void answer_reopened(struct audit *a)
{
	struct reopen_call *call, *next;

	for (call = TAILQ_FIRST(&a->calls); call; call = next) {
		next = TAILQ_NEXT(call, link);
		if (!call->running)
			continue;
		TAILQ_REMOVE(&a->calls, call, link);
		if (a->result < 0)
			stream_reply_error(call->stream, 500, error_errno_text(a->result));
		else
			stream_reply(call->stream, 204, NULL, NULL, 0);
		stream_unref(call->stream);
	}
}

static void tell_drained(struct audit *a)
{
	void (*done)(void *arg) = a->drained;

	a->drained = NULL;
	timer_cancel(&a->drain_timer);
	if (done)
		done(a->drained_arg);
}

static void audit_done(struct work *work)
{
	struct audit *a = container_of(work, struct audit, work);
	struct reopen_call *call;

	a->busy = false;
	if (a->result < 0) {
		a->dropped += a->writing.lines;
		a->reported -= a->writing.reported;
		if (!a->failing)
			log_error("audit: %s: %s", a->target, error_errno_text(a->result));
	}
	a->failing = a->result < 0;
	batch_clear(&a->writing);
	if (a->queue.n)
		put_drops_first(a);
	if (a->reopening)
		answer_reopened(a);
	TAILQ_FOREACH (call, &a->calls, link)
		call->running = true;
	submit(a);
	if (!a->busy)
		tell_drained(a);
}

static void drain_overdue(void *arg)
{
	tell_drained(arg);
}

/* ---- calls ---- */

int audit_new(struct loop *loop, const char *target, bool must_start, struct audit **ret,
	      struct error *err)
{
	struct audit *a = mem_zalloc(sizeof(*a));

	a->loop = loop;
	a->is_socket = strncmp(target, "unix:", 5) == 0;
	a->target = a->is_socket ? target + 5 : target;
	a->fd = a->is_socket ? -1 : open_file(a->target);
	if (a->fd < 0 && !a->is_socket) {
		error_set_errno(err, ERROR_INVALID_ARGUMENT, a->fd, "-audit %s", target);
		if (!must_start) {
			free(a);
			return -1;
		}
		log_error("%s", err->message);
		a->failing = true;
		a->fd = -1;
	}
	a->workers = workers_new(loop, "audit", 1);
	a->work.run = audit_run;
	a->work.done = audit_done;
	TAILQ_INIT(&a->calls);
	timer_init(&a->drain_timer, loop, drain_overdue, a);
	audit_set_sink(on_event, a);
	*ret = a;
	return 0;
}

void audit_free(struct audit *a)
{
	if (!a)
		return;
	audit_set_sink(NULL, NULL);
	workers_free(a->workers);
	timer_cancel(&a->drain_timer);
	batch_clear(&a->queue);
	batch_clear(&a->writing);
	fd_close(&a->fd);
	free(a);
}

void audit_reopen(struct audit *a)
{
	a->reopen = true;
	submit(a);
}

void audit_drain(struct audit *a, unsigned max_ms, void (*done)(void *arg), void *arg)
{
	if (!a || (!a->busy && !a->queue.n)) {
		done(arg);
		return;
	}
	a->drained = done;
	a->drained_arg = arg;
	timer_set_ms(&a->drain_timer, max_ms);
}

/* ---- POST /audit/reopen ---- */

static void reopen_gone(struct stream *s);

static void reopen(struct stream *s, void *arg)
{
	static const struct stream_handler handler = {.gone = reopen_gone};
	struct reopen_call *call = arena_zalloc(stream_arena(s), sizeof(*call));
	struct audit *a = arg;

	if (!a) {
		stream_reply_error(s, 501, "there is no audit stream (-audit)");
		return;
	}
	call->audit = a;
	call->stream = stream_ref(s);
	call->running = !a->busy;
	stream_set_handler(s, &handler, call);
	TAILQ_INSERT_TAIL(&a->calls, call, link);
	audit_reopen(a);
}

static void reopen_gone(struct stream *s)
{
	struct reopen_call *call = stream_data(s);

	TAILQ_REMOVE(&call->audit->calls, call, link);
	stream_unref(s);
}

void ctl_audit_register(struct audit *a, struct router *router)
{
	router_add(router, "POST", "/audit/reopen", reopen, a);
}
