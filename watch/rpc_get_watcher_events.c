/* SPDX-License-Identifier: Apache-2.0 */
/* filesystem.Filesystem/GetWatcherEvents: returns the events since the previous call. */
#include "base/arena.h"
#include "filesystem.pb-c.h"
#include "watch/encode.h"
#include "watch/service_impl.h"

static void get_watcher_events_open(struct rpc_call *call, const ProtobufCMessage *message);

const struct rpc_method watch_rpc_get_watcher_events = {
	.service = "filesystem.Filesystem",
	.name = "GetWatcherEvents",
	.kind = RPC_UNARY,
	.input = &filesystem__get_watcher_events_request__descriptor,
	.output = &filesystem__get_watcher_events_response__descriptor,
	.message_max_bytes = WATCH_MESSAGE_MAX_BYTES,
	.open = get_watcher_events_open,
};

static void get_watcher_events_open(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Filesystem__GetWatcherEventsRequest *request = (const void *)message;
	Filesystem__GetWatcherEventsResponse response =
		FILESYSTEM__GET_WATCHER_EVENTS_RESPONSE__INIT;
	struct arena arena = {0};
	struct watcher *w;
	struct error err;
	uint32_t i, n;

	w = watch_service_find(rpc_call_service(call), request->watcher_id, &err);
	if (!w) {
		rpc_fail(call, &err);
		return;
	}
	watcher_asked(w);
	watch_say_legacy(call);
	n = w->queue.n;
	response.events = arena_alloc(&arena, (n + 1) * sizeof(*response.events));
	for (i = 0; i < n; i++)
		response.events[i] = watch_message(w, watch_queue_at(&w->queue, i), &arena);
	response.n_events = n;
	if (w->queue.dropped)
		response.events[response.n_events++] = watch_message_look_again(&arena);
	rpc_reply(call, &response.base);
	arena_clear(&arena);
	while (n-- > 0)
		watch_queue_pop(&w->queue);
	if (w->queue.dropped) {
		watch_queue_recovered(&w->queue);
		watch_feed_resume(w->root->feed);
	}
}
