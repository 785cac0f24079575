/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/watcher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "fs/text.h"
#include "rpc/call.h"
#include "rpc/context.h"
#include "watch/encode.h"
#include "watch/engine/event.h"
#include "watch/engine/glob.h"
#include "watch/feed.h"
#include "watch/options.h"
#include "watch/service_impl.h"

/*
 * Frees the watcher: no client has fetched its events for WATCHER_EXPIRES_MS, and events were
 * dropped.
 */
static void on_expired(void *arg)
{
	struct watcher *w = arg;

	log_info("polled watcher of %s: its queue is full and nobody asked for %u s: removed",
		 w->path, w->service->expires_ms / 1000);
	watcher_free(w);
}

struct watcher *watcher_new(struct watch_service *service, struct rpc_call *call, bool polled)
{
	struct budget *budget = &service->context->budget;
	struct watcher *w;
	struct error err;

	if (!budget_take(budget, BUDGET_WATCHERS, 1)) {
		error_set(&err, ERROR_RESOURCE_EXHAUSTED, "there are %zu watchers already",
			  budget->limit[BUDGET_WATCHERS]);
		if (call)
			rpc_fail(call, &err);
		return NULL;
	}
	w = mem_zalloc(sizeof(*w));
	w->service = service;
	w->call = call;
	w->polled = polled;
	watch_queue_init(&w->queue, budget);
	timer_init(&w->expires, service->context->loop, on_expired, w);
	if (call)
		rpc_call_set_data(call, w);
	return w;
}

void watcher_free(struct watcher *w)
{
	timer_cancel(&w->expires);
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
	free(w->options);
	free(w);
}

void watcher_set_state(struct watcher *w, enum watcher_state state)
{
	static const char *const names[] = {
		[WATCHER_OPENING] = "opening",
		[WATCHER_JOINING] = "joining",
		[WATCHER_LIVE] = "live",
	};

	log_debug("watcher of %s: %s -> %s", w->path, names[w->state], names[state]);
	w->state = state;
}

void watcher_set_options(struct watcher *w, const struct watch_options *options)
{
	w->only = watch_patterns_copy(&options->only);
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
	else if (fd_is_shortage(error))
		code = ERROR_RESOURCE_EXHAUSTED;
	error_set_errno(&err, code, error, "error adding path %s to watcher",
			fs_text(w->path, &arena));
	arena_clear(&arena);
	if (w->call)
		rpc_fail(w->call, &err);
	else
		watch_adopted_failed(w, &err);
	watcher_free(w);
}

/* ---- a stream ---- */

static void note_flow(struct watcher *w, enum rpc_flow flow)
{
	w->full = w->full || flow == RPC_FULL;
}

/*
 * Sends an event. `frames`: see watcher_event; NULL: the event goes to this watcher alone. A
 * message with an entry is different for each watcher, because it contains the watcher's path.
 */
static void send_event(struct watcher *w, struct watch_event *event, struct rpc_frame **frames)
{
	Filesystem__WatchDirResponse response = FILESYSTEM__WATCH_DIR_RESPONSE__INIT;
	bool shared = frames && w->root->n_watchers > 1 && !(event->entry && w->want_entry);
	struct rpc_frame **frame = shared ? &frames[rpc_call_encoding(w->call)] : NULL;
	struct arena arena = {0};

	if (!frame || !*frame) {
		response.event_case = FILESYSTEM__WATCH_DIR_RESPONSE__EVENT_FILESYSTEM;
		response.filesystem = watch_message(w, event, &arena);
	}
	if (frame && !*frame)
		*frame = rpc_frame_new(rpc_call_encoding(w->call), &response.base);
	note_flow(w, frame ? rpc_send_frame(w->call, *frame) : rpc_send(w->call, &response.base));
	arena_clear(&arena);
}

/* Sends a WRITE of ".": events were dropped. */
static void send_look_again(struct watcher *w)
{
	struct watch_event *event = watch_event_new(WATCH_WRITE, ".", 1);

	event->look_again = true;
	send_event(w, event, NULL);
	watch_event_unref(event);
}

/* Sends the waiting events, until the stream is full. */
static void pump(struct watcher *w)
{
	struct watch_event *event;

	while (!w->full && (event = watch_queue_first(&w->queue))) {
		send_event(w, event, NULL);
		watch_queue_pop(&w->queue);
	}
	if (!w->full && w->queue.dropped) {
		watch_queue_recovered(&w->queue);
		send_look_again(w);
	}
	if (!watcher_has_enough(w))
		watch_feed_resume(w->root->feed);
}

void watcher_writable(struct watcher *w)
{
	w->full = false;
	if (w->state == WATCHER_LIVE)
		pump(w);
}

void watcher_keepalive(struct watcher *w)
{
	Filesystem__WatchDirResponse response = FILESYSTEM__WATCH_DIR_RESPONSE__INIT;
	Filesystem__WatchDirResponse__KeepAlive keepalive =
		FILESYSTEM__WATCH_DIR_RESPONSE__KEEP_ALIVE__INIT;

	/* START must be the first message, even if the watch takes long to be in place. */
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

/* ---- a polled watcher ---- */

/* Creates an id that can't be guessed. 0, or -errno if the kernel has no random numbers. */
static int make_id(char id[WATCHER_ID_BYTES])
{
	unsigned char random[WATCHER_ID_DIGITS / 2];
	size_t i;

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -errno;
	id[0] = 'w';
	for (i = 0; i < sizeof(random); i++)
		snprintf(id + 1 + 2 * i, 3, "%02x", random[i]);
	return 0;
}

static void answer_create(struct watcher *w)
{
	Filesystem__CreateWatcherResponse response = FILESYSTEM__CREATE_WATCHER_RESPONSE__INIT;
	struct rpc_call *call = w->call;
	int r;

	if (!call) {
		watch_adopted_live(w);
		return;
	}
	r = make_id(w->id);

	if (r < 0) {
		watcher_fail(w, r);
		return;
	}
	watch_service_add(w->service, w);
	response.watcher_id = w->id;
	w->call = NULL;
	rpc_call_set_data(call, NULL);
	rpc_reply(call, &response.base);
}

void watcher_asked(struct watcher *w)
{
	timer_cancel(&w->expires);
}

/* ---- both ---- */

void watcher_start(struct watcher *w)
{
	watcher_set_state(w, WATCHER_LIVE);
	if (w->polled)
		answer_create(w);
	else
		start_stream(w);
}

void watcher_event(struct watcher *w, struct watch_event *event,
		   struct rpc_frame *frames[RPC_ENCODINGS])
{
	if (w->only && !event->look_again && strcmp(event->name, ".") != 0 &&
	    !watch_patterns_match(w->only, event->name))
		return;
	if (!w->polled && !w->full && !w->queue.n && !w->queue.dropped) {
		send_event(w, event, frames);
		return;
	}
	watch_queue_push(&w->queue, event);
	if (w->polled && w->queue.dropped && !timer_pending(&w->expires))
		timer_set_ms(&w->expires, w->service->expires_ms);
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
