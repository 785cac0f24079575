/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/handover.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "rpc/context.h"
#include "watch/encode.h"
#include "watch/engine/event.h"
#include "watch/engine/tree.h"
#include "watch/feed.h"
#include "watch/service_impl.h"

/* ---- export ---- */

static Handover__HandoverWatcher *export_watcher(const struct watcher *w, struct arena *arena)
{
	Handover__HandoverWatcher *out = arena_zalloc(arena, sizeof(*out));
	uint32_t n = w->queue.n, i;

	handover__handover_watcher__init(out);
	out->id = (char *)(uintptr_t)w->id;
	out->path = w->path;
	out->recursive = w->recursive;
	out->include_entry_info = w->want_entry;
	out->allow_network_mounts = w->root && w->root->feed->network;
	if (w->options)
		out->options = w->options;
	out->pending_events = arena_zalloc(arena, (n + 1) * sizeof(out->pending_events[0]));
	for (i = 0; i < n; i++)
		out->pending_events[i] = watch_message(w, watch_queue_at(&w->queue, i), arena);
	if (w->queue.dropped)
		out->pending_events[n++] = watch_message_look_again(arena);
	out->n_pending_events = n;
	return out;
}

void watch_handover_export(const struct watch_service *svc, struct arena *arena,
			   Handover__HandoverState *state)
{
	const struct watcher *w;
	size_t i, n = 0;

	for (i = 0; i < WATCH_ID_BUCKETS; i++)
		LIST_FOREACH (w, &svc->by_id[i], by_id)
			n++;
	state->watchers = arena_zalloc(arena, (n + 1) * sizeof(state->watchers[0]));
	for (i = 0; i < WATCH_ID_BUCKETS; i++)
		LIST_FOREACH (w, &svc->by_id[i], by_id)
			state->watchers[state->n_watchers++] = export_watcher(w, arena);
}

/* ---- adoption ---- */

/* Restores the events that the client has not fetched yet, before new events. */
static void restore_events(struct watcher *w, const Handover__HandoverWatcher *in)
{
	const Filesystem__FilesystemEvent *from;
	struct watch_event *event;
	size_t i;

	for (i = 0; i < in->n_pending_events; i++) {
		from = in->pending_events[i];
		if (from->type < FILESYSTEM__EVENT_TYPE__EVENT_TYPE_CREATE ||
		    from->type > FILESYSTEM__EVENT_TYPE__EVENT_TYPE_CHMOD)
			continue;
		event = watch_event_new((enum watch_event_type)from->type, from->name,
					strlen(from->name));
		if (from->entry && w->want_entry)
			event->entry = watch_entry_pack(from->entry);
		watch_queue_push(&w->queue, event);
		watch_event_unref(event);
	}
}

static bool id_is_usable(struct watch_service *svc, const char *id)
{
	struct error err;

	return id[0] && strlen(id) < WATCHER_ID_BYTES && !watch_service_find(svc, id, &err);
}

static bool adopt(struct watch_service *svc, const Handover__HandoverWatcher *in)
{
	const struct watch_request request = {
		.path = in->path,
		.recursive = in->recursive,
		.include_entry = in->include_entry_info,
		/* The reference does not check again, and its state does not contain the flag. */
		.allow_network_mounts = true,
	};
	struct watcher *w;

	if (in->path[0] != '/' || !id_is_usable(svc, in->id))
		return false;
	w = watcher_new(svc, NULL, true);
	if (!w)
		return false;
	strcpy(w->id, in->id);
	watch_service_add(svc, w);
	w->want_entry = in->include_entry_info;
	restore_events(w, in);
	watch_open_adopted(w, &request, *in->options ? in->options : NULL);
	return true;
}

bool watch_handover_adopt(struct watch_service *svc, const Handover__HandoverState *state,
			  struct watch_adopted *ret, void (*done)(void *arg), void *arg)
{
	size_t i;

	*ret = (struct watch_adopted){0};
	svc->adoption = (struct watch_adoption){.done = done, .arg = arg};
	for (i = 0; i < state->n_watchers; i++, ret->watchers++) {
		if (adopt(svc, state->watchers[i]))
			svc->adoption.waiting++;
		else
			ret->failed++;
	}
	return svc->adoption.waiting > 0;
}

static void adopted_one(struct watch_service *svc, bool succeeded)
{
	if (svc->adoption.waiting == 0)
		return;
	svc->adoption.failed += !succeeded;
	if (--svc->adoption.waiting == 0 && svc->adoption.done)
		svc->adoption.done(svc->adoption.arg);
}

void watch_adopted_live(struct watcher *w)
{
	log_event(&(struct log_line){.level = LOG_LEVEL_INFO,
				     .logger = "filesystem",
				     .event_type = "watcher_readopted",
				     LOG_FIELDS(LOG_TEXT("watcher_id", w->id),
						LOG_NUMBER("pending_events", w->queue.n))},
		  "polled watcher of %s is taken over", w->path);
	adopted_one(w->service, true);
}

void watch_adopted_failed(struct watcher *w, const struct error *err)
{
	log_warn("handover: watcher of %s: %s", w->path, err->message);
	adopted_one(w->service, false);
}

void watch_handover_finish(struct watch_service *svc, struct watch_adopted *ret)
{
	ret->failed += svc->adoption.failed + svc->adoption.waiting;
	svc->adoption = (struct watch_adoption){0};
	if (!ret->watchers)
		return;
	log_event(&(struct log_line){.level = LOG_LEVEL_INFO,
				     .logger = "filesystem",
				     .event_type = "watchers_rearmed",
				     LOG_FIELDS(LOG_NUMBER("rearmed",
							   ret->failed < ret->watchers
								   ? ret->watchers - ret->failed
								   : 0),
						LOG_NUMBER("failed", ret->failed))},
		  "handover: %u polled watchers, %u failed", ret->watchers, ret->failed);
}
