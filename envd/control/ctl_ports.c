/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /ports: the TCP listeners of the guest with their processes. With follow=1 the answer is a
 * stream of lines: all listeners, and then each change.
 *
 *	one answer:  ports → waiting → listing (worker) → listed: reply
 *	a stream:    ports → waiting → listing → listed: all → following: the differences … → gone
 *
 * One listing runs at a time, and serves all requests that came before it began. The processes are
 * found in /proc, so a listing runs on a worker. While there are streams, the watch's scan on the
 * loop tells whether the listeners have changed, and only then they are listed again.
 *
 * A slow stream has no queue: it remembers the list that its client was told, and gets the
 * differences to the current one when there is room.
 */
#include "envd/control/ctl_ports.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/budget.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/work.h"
#include "envd/relay/port_list.h"
#include "envd/relay/port_watch.h"
#include "rpc/codec/json.h"
#include "rpc/context.h"
#include "rpc/http/router.h"
#include "rpc/http/stream.h"
#include "rpc/http/uri.h"

enum call_state {
	CALL_WAITING,	/* for the next listing */
	CALL_LISTING,	/* the listing that runs is for it */
	CALL_FOLLOWING, /* a stream */
	CALL_OVER,
};

struct ports_call {
	struct ports *ports;
	struct stream *stream; /* a reference */
	enum call_state state;
	bool follows;
	bool full;		/* wait for `writable` */
	struct port_list *told; /* a reference: what the client of a stream knows; NULL: nothing */
	struct timer keepalive;
	TAILQ_ENTRY(ports_call) link; /* of the queue of its state */
};

TAILQ_HEAD(call_queue, ports_call);

struct ports {
	struct context *context;
	struct router *router;
	struct workers *workers;
	struct port_watch *watch; /* NULL: the kernel has no sock_diag */
	struct port_reader reader;
	struct call_queue queues[CALL_OVER];
	struct port_list *current; /* NULL: nothing was listed yet */

	/* The listing. */
	struct work work;
	bool listing;
	uint32_t own_inodes[PORT_SCAN_MAX_OWN];
	size_t n_own;
	struct port_list *found;
	int result;
};

static void ports(struct stream *s, void *arg);
static void submit_listing(struct ports *p);
static void start_listing(struct ports *p);
static void list_run(struct work *work);
static void list_done(struct work *work);
static void scanned(void *arg, const struct port_set *set);
static void update(struct ports_call *call);
static void on_keepalive(void *arg);
static void ports_writable(struct stream *s);
static void ports_end(struct stream *s);
static void ports_gone(struct stream *s);

struct ports *ports_new(struct context *context, struct router *router)
{
	struct ports *p = mem_zalloc(sizeof(*p));
	size_t i;

	p->context = context;
	p->router = router;
	p->workers = workers_new(context->loop, "ports", 1);
	p->reader.scanned = scanned;
	p->reader.arg = p;
	p->work.run = list_run;
	p->work.done = list_done;
	for (i = 0; i < ARRAY_LEN(p->queues); i++)
		TAILQ_INIT(&p->queues[i]);
	router_add(router, "GET", "/ports", ports, p);
	return p;
}

void ports_free(struct ports *p)
{
	if (!p)
		return;
	workers_free(p->workers);
	port_list_unref(p->current);
	free(p);
}

void ports_set_watch(struct ports *p, struct port_watch *watch)
{
	p->watch = watch;
}

/* The only writer of the state and of the queues. The watch scans while there are streams. */
static void call_set_state(struct ports_call *call, enum call_state state)
{
	static const char *const names[] = {"waiting", "listing", "following", "over"};
	struct ports *p = call->ports;
	struct call_queue *streams = &p->queues[CALL_FOLLOWING];
	bool watched = !TAILQ_EMPTY(streams);

	log_debug("/ports %ju: %s -> %s", (uintmax_t)stream_id(call->stream), names[call->state],
		  names[state]);
	TAILQ_REMOVE(&p->queues[call->state], call, link);
	call->state = state;
	if (state != CALL_OVER)
		TAILQ_INSERT_TAIL(&p->queues[state], call, link);
	if (watched && TAILQ_EMPTY(streams))
		port_watch_remove(p->watch, &p->reader);
	else if (!watched && !TAILQ_EMPTY(streams))
		port_watch_add(p->watch, &p->reader);
}

/* ---- the request ---- */

/* Reads `follow`. Returns false after refusing the request. */
static bool read_follow(struct stream *s, bool *ret)
{
	const char *query = stream_head_in(s)->query, *text = "0";
	size_t n;

	if (uri_query_get(stream_arena(s), query, "follow", &text, &n) > 1 ||
	    (strcmp(text, "0") != 0 && strcmp(text, "1") != 0)) {
		stream_reply_error(s, 400, "follow is 0 or 1");
		return false;
	}
	*ret = strcmp(text, "1") == 0;
	return true;
}

static void ports(struct stream *s, void *arg)
{
	static const struct stream_handler handler = {
		.writable = ports_writable,
		.half_closed = ports_end,
		.gone = ports_gone,
		.shutdown = ports_end,
	};
	static const struct stream_handler answer = {.gone = ports_gone};
	struct ports_call *call = arena_zalloc(stream_arena(s), sizeof(*call));
	struct ports *p = arg;

	if (!p->watch) {
		stream_reply_error(s, 501, "the kernel does not list listeners (sock_diag)");
		return;
	}
	if (!read_follow(s, &call->follows))
		return;
	/* A slow stream keeps a list of its own. */
	if (call->follows &&
	    !budget_share_take(stream_share(s), PORT_SCAN_MAX * sizeof(struct port_entry))) {
		stream_reply_error(s, 503, "too many requests");
		return;
	}
	call->ports = p;
	call->stream = stream_ref(s);
	timer_init(&call->keepalive, p->context->loop, on_keepalive, call);
	stream_set_handler(s, call->follows ? &handler : &answer, call);
	TAILQ_INSERT_TAIL(&p->queues[CALL_WAITING], call, link);
	start_listing(p);
}

static void call_end(struct ports_call *call)
{
	call_set_state(call, CALL_OVER);
	timer_cancel(&call->keepalive);
	port_list_unref(call->told);
	stream_unref(call->stream);
}

/* ---- the listing ---- */

/* Submits a listing, also for the requests that wait. */
static void submit_listing(struct ports *p)
{
	struct ports_call *call;
	const uint32_t *own;

	while ((call = TAILQ_FIRST(&p->queues[CALL_WAITING])))
		call_set_state(call, CALL_LISTING);
	own = port_watch_own_inodes(p->watch, &p->n_own);
	memcpy(p->own_inodes, own, p->n_own * sizeof(*own));
	p->listing = true;
	work_submit(p->workers, &p->work);
}

static void start_listing(struct ports *p)
{
	if (!p->listing && !TAILQ_EMPTY(&p->queues[CALL_WAITING]))
		submit_listing(p);
}

static void list_run(struct work *work)
{
	struct ports *p = container_of(work, struct ports, work);

	p->found = port_list_read(p->own_inodes, p->n_own, p->context->users, &p->result);
}

static void put_entry(struct json_writer *out, const struct port_entry *entry, const char *event)
{
	char address[INET6_ADDRSTRLEN] = "";

	port_listener_address(&entry->listener, address);
	json_put_object(out);
	if (event) {
		json_put_name(out, "event");
		json_put_string(out, event);
	}
	json_put_name(out, "address");
	json_put_string(out, address);
	json_put_name(out, "port");
	json_put_uint(out, entry->listener.port);
	if (entry->pid) {
		json_put_name(out, "pid");
		json_put_int(out, entry->pid);
		json_put_name(out, "command");
		json_put_string(out, entry->command);
	}
	json_put_name(out, "user");
	json_put_string(out, entry->user);
	json_put_object_end(out);
}

static void reply_list(struct ports_call *call)
{
	struct ports *p = call->ports;
	struct json_writer out;
	size_t i;

	json_writer_init(&out, 0, 256);
	json_put_object(&out);
	json_put_name(&out, "ports");
	json_put_array(&out);
	for (i = 0; i < p->current->n; i++)
		put_entry(&out, &p->current->entries[i], NULL);
	json_put_array_end(&out);
	json_put_object_end(&out);
	json_append(&out, "\n", 1);
	stream_header(call->stream, "Cache-Control", "no-store");
	stream_reply(call->stream, 200, "application/json", out.data, out.n);
	json_writer_clear(&out);
	call_end(call);
}

static void begin_stream(struct ports_call *call)
{
	struct stream *s = call->stream;

	stream_header(s, "Cache-Control", "no-store");
	stream_header(s, "Content-Type", "application/x-ndjson");
	stream_header(s, "X-Accel-Buffering", "no");
	stream_head(s, 200, STREAM_LENGTH_UNKNOWN);
	timer_set_ms(&call->keepalive, router_keepalive_ms(call->ports->router));
	call_set_state(call, CALL_FOLLOWING);
}

static void fail_listing(struct ports *p)
{
	unsigned status = fd_is_shortage(p->result) ? 503 : 500;
	struct ports_call *call;

	while ((call = TAILQ_FIRST(&p->queues[CALL_LISTING]))) {
		stream_reply_error(call->stream, status, error_errno_text(p->result));
		call_end(call);
	}
}

static void list_done(struct work *work)
{
	struct ports *p = container_of(work, struct ports, work);
	struct ports_call *call;

	p->listing = false;
	if (p->found) {
		port_list_unref(p->current);
		p->current = p->found;
		p->found = NULL;
	} else {
		fail_listing(p);
	}
	while ((call = TAILQ_FIRST(&p->queues[CALL_LISTING]))) {
		if (call->follows)
			begin_stream(call);
		else
			reply_list(call);
	}
	TAILQ_FOREACH (call, &p->queues[CALL_FOLLOWING], link)
		update(call);
	start_listing(p);
}

/* ---- streams ---- */

/*
 * Compares with what was listed, not with the scan before: a listing for another request may have
 * seen a listener that came and went between two scans. A scan during a listing may be older or
 * newer than the listing; the next scan is newer.
 */
static void scanned(void *arg, const struct port_set *set)
{
	struct ports *p = arg;

	if (!p->listing && port_set_fingerprint(set) != p->current->fingerprint)
		submit_listing(p);
}

static void put_line(struct json_writer *out, const struct port_entry *entry, const char *event)
{
	/* A text for each line: the writer writes one value. */
	struct json_writer line;

	json_writer_init(&line, 0, 160);
	put_entry(&line, entry, event);
	json_append(&line, "\n", 1);
	json_append(out, line.data, line.n);
	json_writer_clear(&line);
}

/*
 * Writes the entries of `list` that `other` lacks. Both are sorted, and either may be NULL. An
 * entry with another process is another entry.
 */
static void put_missing(struct json_writer *out, const struct port_list *list,
			const struct port_list *other, const char *event)
{
	size_t i, k = 0, n = list ? list->n : 0, n_other = other ? other->n : 0;
	const struct port_entry *entry;

	for (i = 0; i < n; i++) {
		entry = &list->entries[i];
		while (k < n_other && port_entry_compare(&other->entries[k], entry) < 0)
			k++;
		if (k == n_other || memcmp(&other->entries[k], entry, sizeof(*entry)) != 0)
			put_line(out, entry, event);
	}
}

/* Sends the differences between what the client was told and the current list. */
static void update(struct ports_call *call)
{
	struct ports *p = call->ports;
	struct json_writer out;

	if (call->full || call->told == p->current)
		return;
	json_writer_init(&out, 0, 256);
	/* A socket that replaces another at its address can have the lower inode of the two. */
	put_missing(&out, call->told, p->current, "close");
	put_missing(&out, p->current, call->told, "open");
	port_list_unref(call->told);
	call->told = port_list_ref(p->current);
	if (out.n)
		call->full = stream_send_bytes(call->stream, out.data, out.n) == STREAM_FULL;
	json_writer_clear(&out);
}

static void ports_writable(struct stream *s)
{
	struct ports_call *call = stream_data(s);

	call->full = false;
	update(call);
}

static void on_keepalive(void *arg)
{
	static const char line[] = "{\"event\":\"keepalive\"}\n";
	struct ports_call *call = arg;

	if (!call->full)
		call->full = stream_send_bytes(call->stream, line, sizeof(line) - 1) == STREAM_FULL;
	timer_set_ms(&call->keepalive, router_keepalive_ms(call->ports->router));
}

/* ---- the end ---- */

/* The client of a stream has closed its side, or the daemon ends. */
static void ports_end(struct stream *s)
{
	struct ports_call *call = stream_data(s);

	if (call->state == CALL_FOLLOWING)
		stream_finish(s);
	else
		stream_reset(s);
	call_end(call);
}

static void ports_gone(struct stream *s)
{
	call_end(stream_data(s));
}
