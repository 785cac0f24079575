/* filesystem.Filesystem/GetWatcherEvents: what happened since the last time. */
#include "base/arena.h"
#include "filesystem.pb-c.h"
#include "watch/engine/event.h"
#include "watch/message.h"
#include "watch/service_impl.h"

/* Those of the first n waiting events that are wanted, and "look again" behind them. */
static void fill(const struct watcher *w, uint32_t n, bool look_again,
		 Filesystem__GetWatcherEventsResponse *response, struct arena *arena)
{
	struct watch_message *messages = arena_alloc(arena, (n + 1) * sizeof(*messages));
	struct watch_event *event, *again;
	size_t kept = 0;
	uint32_t i;

	response->events = arena_alloc(arena, (n + 1) * sizeof(*response->events));
	for (i = 0; i < n; i++) {
		/* What waited for the other half of its move was kept to find that out. */
		event = watch_queue_at(&w->queue, i);
		if (!watcher_wants(w, event))
			continue;
		response->events[kept] = watch_message_fill(&messages[kept], w, event, arena);
		kept++;
	}
	if (look_again) {
		again = watch_event_new(WATCH_WRITE, ".", 1);
		response->events[kept] = watch_message_fill(&messages[kept], w, again, arena);
		response->events[kept]->name = ".";
		kept++;
		watch_event_unref(again);
	}
	response->n_events = kept;
}

static void get_watcher_events_open(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Filesystem__GetWatcherEventsRequest *request = (const void *)message;
	Filesystem__GetWatcherEventsResponse response =
		FILESYSTEM__GET_WATCHER_EVENTS_RESPONSE__INIT;
	struct watcher *w;
	struct arena arena = {0};
	struct error err;
	bool look_again;
	uint32_t n;

	w = watch_service_find(rpc_call_service(call), request->watcher_id, &err);
	if (!w) {
		rpc_fail(call, &err);
		return;
	}
	watch_say_legacy(call);
	n = watcher_ready(w);
	look_again = w->queue.dropped && n == w->queue.n;
	fill(w, n, look_again, &response, &arena);
	rpc_reply(call, &response.base);
	arena_clear(&arena);
	while (n-- > 0)
		watch_queue_pop(&w->queue);
	if (look_again) {
		watch_queue_told(&w->queue);
		watch_feed_resume(w->root->feed);
	}
}

const struct rpc_method watch_rpc_get_watcher_events = {
	.service = "filesystem.Filesystem",
	.name = "GetWatcherEvents",
	.kind = RPC_UNARY,
	.input = &filesystem__get_watcher_events_request__descriptor,
	.output = &filesystem__get_watcher_events_response__descriptor,
	.open = get_watcher_events_open,
};
