#include "watch/watcher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/budget.h"
#include "base/mem.h"
#include "fs/entry.h"
#include "rpc/call.h"
#include "rpc/context.h"
#include "watch/engine/event.h"
#include "watch/feed.h"
#include "watch/message.h"
#include "watch/options.h"
#include "watch/service_impl.h"

struct watcher *watcher_new(struct watch_service *service, struct rpc_call *call, bool polled)
{
	struct budget *budget = &service->context->budget;
	struct watcher *w;
	struct error err;

	if (!budget_take(budget, BUDGET_WATCHERS, 1)) {
		error_set(&err, ERROR_RESOURCE_EXHAUSTED, "there are %zu watchers already",
			  budget->limit[BUDGET_WATCHERS]);
		rpc_fail(call, &err);
		return NULL;
	}
	w = mem_zalloc(sizeof(*w));
	w->service = service;
	w->call = call;
	w->polled = polled;
	budget_share_init(&w->queue.share, budget, BUDGET_CLASS_WATCH);
	rpc_call_set_data(call, w);
	return w;
}

void watcher_free(struct watcher *w)
{
	if (w->debounce_ms)
		timer_cancel(&w->gathered);
	watch_patterns_free(w->only);
	if (w->call)
		rpc_call_set_data(w->call, NULL);
	if (w->root)
		watch_feed_leave(w);
	if (w->id[0])
		LIST_REMOVE(w, by_id);
	watch_queue_clear(&w->queue);
	budget_give(&w->service->context->budget, BUDGET_WATCHERS, 1);
	free(w->path);
	free(w);
}

void watcher_fail(struct watcher *w, int error)
{
	struct arena arena = {0};
	enum error_code code = ERROR_INTERNAL;
	struct error err;

	if (error == -ENOENT || error == -ESTALE)
		code = ERROR_NOT_FOUND;
	else if (error == -ENOTDIR)
		code = ERROR_INVALID_ARGUMENT;
	else if (error == -ENOSPC || error == -EMFILE || error == -ENOMEM)
		code = ERROR_RESOURCE_EXHAUSTED;
	if (error == -ENOSPC)
		error_set(&err, code,
			  "error adding path %s to watcher: max_user_watches is reached",
			  fs_text(w->path, &arena));
	else
		error_set_errno(&err, code, error, "error adding path %s to watcher",
				fs_text(w->path, &arena));
	arena_clear(&arena);
	rpc_fail(w->call, &err);
	watcher_free(w);
}

/* ---- a stream ---- */

static void note_flow(struct watcher *w, enum rpc_flow flow)
{
	w->full = w->full || flow == RPC_FULL;
}

/* The event's frame for the watchers that share it. */
static struct rpc_frame *shared_frame(struct watch_event *event, unsigned encoding,
				      const ProtobufCMessage *message)
{
	if (!event->frames)
		event->frames = mem_zalloc(RPC_ENCODINGS * sizeof(struct rpc_frame *));
	if (!event->frames[encoding])
		event->frames[encoding] = rpc_frame_new(encoding, message);
	return event->frames[encoding];
}

/* Encoded once for all that are told the same; entries have a path that is each watcher's own. */
static void send_event(struct watcher *w, struct watch_event *event)
{
	Filesystem__WatchDirResponse response = FILESYSTEM__WATCH_DIR_RESPONSE__INIT;
	unsigned encoding = rpc_call_encoding(w->call);
	bool own = w->pairs || (event->entry && w->want_entry);
	bool shared = w->root->n_watchers > 1 && !own;
	struct watch_message message;
	struct arena arena = {0};

	if (shared && event->frames && event->frames[encoding]) {
		note_flow(w, rpc_send_frame(w->call, event->frames[encoding]));
		return;
	}
	response.event_case = FILESYSTEM__WATCH_DIR_RESPONSE__EVENT_FILESYSTEM;
	response.filesystem = watch_message_fill(&message, w, event, &arena);
	if (shared)
		note_flow(w,
			  rpc_send_frame(w->call, shared_frame(event, encoding, &response.base)));
	else
		note_flow(w, rpc_send(w->call, &response.base));
	arena_clear(&arena);
}

/* "Look again" at everything: events were dropped. */
static void send_look_again(struct watcher *w)
{
	struct watch_event *event = watch_event_new(WATCH_WRITE, ".", 1);

	event->look_again = true;
	send_event(w, event);
	watch_event_unref(event);
}

bool watcher_wants(const struct watcher *w, const struct watch_event *event)
{
	if (!w->only || event->look_again || strcmp(event->name, ".") == 0)
		return true;
	return watch_patterns_match(w->only, event->name) ||
	       (w->pairs && event->to && watch_patterns_match(w->only, event->to->name));
}

static bool is_waiting(const struct watcher *w, const struct watch_event *event)
{
	return w->pairs && event->move == WATCH_MOVE_WAITING;
}

/* Sends what waits, as far as that goes now. */
static void pump(struct watcher *w)
{
	struct watch_event *event;

	while (!w->full && (event = watch_queue_first(&w->queue)) && !is_waiting(w, event)) {
		if (watcher_wants(w, event))
			send_event(w, event);
		watch_queue_pop(&w->queue);
	}
	if (!w->full && !w->queue.n && w->queue.dropped) {
		watch_queue_told(&w->queue);
		send_look_again(w);
	}
	if (!watcher_has_enough(w))
		watch_feed_resume(w->root->feed);
}

void watcher_writable(struct watcher *w)
{
	w->full = false;
	if (w->state == WATCHER_LIVE && !w->gathering_ms)
		pump(w);
}

/* Nothing has happened for a while, or something all the time. */
static void on_gathered(void *arg)
{
	struct watcher *w = arg;

	w->gathering_ms = 0;
	pump(w);
}

/* Puts the sending off, but not for ever. */
static void gather(struct watcher *w)
{
	uint64_t now_ms = clock_monotonic_ms(), end_ms, delay_ms = w->debounce_ms;

	if (!w->gathering_ms)
		w->gathering_ms = now_ms;
	end_ms = w->gathering_ms + (uint64_t)w->debounce_ms * WATCHER_GATHER_TIMES;
	if (now_ms + delay_ms > end_ms)
		delay_ms = end_ms > now_ms ? end_ms - now_ms : 0;
	timer_set_ms(&w->gathered, delay_ms);
}

void watcher_keepalive(struct watcher *w)
{
	Filesystem__WatchDirResponse response = FILESYSTEM__WATCH_DIR_RESPONSE__INIT;
	Filesystem__WatchDirResponse__KeepAlive keepalive =
		FILESYSTEM__WATCH_DIR_RESPONSE__KEEP_ALIVE__INIT;

	/* `start` comes first, however long that takes. */
	if (w->state != WATCHER_LIVE)
		return;
	response.event_case = FILESYSTEM__WATCH_DIR_RESPONSE__EVENT_KEEPALIVE;
	response.keepalive = &keepalive;
	note_flow(w, rpc_send(w->call, &response.base));
}

static void start_stream(struct watcher *w)
{
	Filesystem__WatchDirResponse response = FILESYSTEM__WATCH_DIR_RESPONSE__INIT;
	Filesystem__WatchDirResponse__StartEvent start =
		FILESYSTEM__WATCH_DIR_RESPONSE__START_EVENT__INIT;

	response.event_case = FILESYSTEM__WATCH_DIR_RESPONSE__EVENT_START;
	response.start = &start;
	note_flow(w, rpc_send(w->call, &response.base));
}

/* ---- a polled one ---- */

static void make_id(char id[WATCHER_ID_DIGITS + 2])
{
	unsigned char random[WATCHER_ID_DIGITS / 2];
	size_t i;

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		fatal("getrandom failed");
	id[0] = 'w';
	for (i = 0; i < sizeof(random); i++)
		snprintf(id + 1 + 2 * i, 3, "%02x", random[i]);
}

static void answer_create(struct watcher *w)
{
	Filesystem__CreateWatcherResponse response = FILESYSTEM__CREATE_WATCHER_RESPONSE__INIT;
	struct rpc_call *call = w->call;

	make_id(w->id);
	watch_service_add(w->service, w);
	response.watcher_id = w->id;
	w->call = NULL;
	rpc_call_set_data(call, NULL);
	rpc_reply(call, &response.base);
}

/* ---- both ---- */

void watcher_start(struct watcher *w)
{
	w->state = WATCHER_LIVE;
	w->first_event = w->service->feeds.n_events + 1;
	if (w->polled)
		answer_create(w);
	else
		start_stream(w);
}

void watcher_set_options(struct watcher *w, const struct watch_options *options)
{
	w->pairs = options->pairs;
	w->only = watch_patterns_copy(&options->only);
	if (w->polled || !options->debounce_ms)
		return;
	w->debounce_ms = options->debounce_ms;
	timer_init(&w->gathered, w->service->context->loop, on_gathered, w);
}

void watcher_event(struct watcher *w, struct watch_event *event, const struct watch_event *first)
{
	if (w->pairs && first && first->number >= w->first_event) {
		/* The RENAME says it. */
		watcher_resolved(w);
		return;
	}
	if (!is_waiting(w, event) && !watcher_wants(w, event))
		return;
	if (w->polled || w->full || w->queue.n || w->queue.dropped || w->debounce_ms ||
	    is_waiting(w, event))
		watch_queue_push(&w->queue, event);
	else
		send_event(w, event);
	if (w->debounce_ms)
		gather(w);
}

void watcher_resolved(struct watcher *w)
{
	if (w->pairs && !w->polled && !w->gathering_ms)
		pump(w);
}

uint32_t watcher_ready(const struct watcher *w)
{
	uint32_t n = 0;

	while (n < w->queue.n && !is_waiting(w, watch_queue_at(&w->queue, n)))
		n++;
	return n;
}

bool watcher_has_enough(const struct watcher *w)
{
	if (w->state != WATCHER_LIVE)
		return false;
	if (w->polled)
		return w->queue.dropped;
	return w->queue.dropped || w->queue.n >= WATCHER_ENOUGH_EVENTS ||
	       w->queue.bytes >= WATCHER_ENOUGH_BYTES;
}
