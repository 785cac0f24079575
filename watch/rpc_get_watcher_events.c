/* filesystem.Filesystem/GetWatcherEvents: what happened since the last time. */
#include "base/arena.h"
#include "filesystem.pb-c.h"
#include "watch/event.h"
#include "watch/message.h"
#include "watch/service_impl.h"

/* The waiting events, and "look again" behind them where others were dropped. */
static void fill(const struct watcher *w, Filesystem__GetWatcherEventsResponse *response,
		 struct arena *arena)
{
	size_t n = w->queue.n + (w->queue.dropped ? 1 : 0);
	struct watch_message *messages = arena_alloc(arena, n * sizeof(*messages));
	struct watch_event *again;
	uint32_t i;

	response->events = arena_alloc(arena, n * sizeof(*response->events));
	response->n_events = n;
	for (i = 0; i < w->queue.n; i++)
		response->events[i] =
			watch_message_fill(&messages[i], w, watch_queue_at(&w->queue, i), arena);
	if (w->queue.dropped) {
		again = watch_event_new(WATCH_WRITE, ".", 1);
		response->events[i] = watch_message_fill(&messages[i], w, again, arena);
		response->events[i]->name = ".";
		watch_event_unref(again);
	}
}

static void get_watcher_events_open(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Filesystem__GetWatcherEventsRequest *request = (const void *)message;
	Filesystem__GetWatcherEventsResponse response =
		FILESYSTEM__GET_WATCHER_EVENTS_RESPONSE__INIT;
	struct watcher *w;
	struct arena arena = {0};
	struct error err;
	bool dropped;

	w = watch_service_find(rpc_call_service(call), request->watcher_id, &err);
	if (!w) {
		rpc_fail(call, &err);
		return;
	}
	watch_say_legacy(call);
	dropped = w->queue.dropped;
	fill(w, &response, &arena);
	rpc_reply(call, &response.base);
	arena_clear(&arena);
	watch_queue_clear(&w->queue);
	if (dropped && w->root)
		watch_feed_resume(w->root->feed);
}

const struct rpc_method watch_rpc_get_watcher_events = {
	.service = "filesystem.Filesystem",
	.name = "GetWatcherEvents",
	.kind = RPC_UNARY,
	.input = &filesystem__get_watcher_events_request__descriptor,
	.output = &filesystem__get_watcher_events_response__descriptor,
	.open = get_watcher_events_open,
};
