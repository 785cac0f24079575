/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/encode.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fs/entry.h"
#include "rpc/call.h"
#include "watch/engine/event.h"
#include "watch/entry.h"
#include "watch/watcher.h"

/* Returns the path of an entry, below the client's path of the watched directory. */
static const char *entry_path(const struct watcher *w, const char *name, struct arena *arena)
{
	if (strcmp(name, ".") == 0)
		return fs_text(w->path, arena);
	return fs_text(
		arena_printf(arena, "%s%s%s", w->path, strcmp(w->path, "/") == 0 ? "" : "/", name),
		arena);
}

Filesystem__FilesystemEvent *watch_message_fill(struct watch_message *m, const struct watcher *w,
						const struct watch_event *event,
						struct arena *arena)
{
	filesystem__filesystem_event__init(&m->event);
	m->event.name = fs_text(event->name, arena);
	m->event.type = (Filesystem__EventType)event->type;
	if (!event->entry || !w->want_entry)
		return &m->event;
	m->entry = *watch_entry_info(event->entry);
	m->entry.path = entry_path(w, event->name, arena);
	if (strcmp(event->name, ".") == 0)
		m->entry.name = fs_path_name(m->entry.path, arena);
	m->event.entry = &m->entry;
	m->event.opt_entry_case = FILESYSTEM__FILESYSTEM_EVENT__OPT_ENTRY_ENTRY;
	return &m->event;
}

/* ---- frames ---- */

struct frames {
	struct watch_attachment attachment;
	struct rpc_frame *by_encoding[RPC_ENCODINGS];
};

static void frames_free(struct watch_attachment *attachment)
{
	struct frames *frames = (struct frames *)attachment;
	unsigned i;

	for (i = 0; i < RPC_ENCODINGS; i++)
		rpc_frame_unref(frames->by_encoding[i]);
	free(frames);
}

struct rpc_frame *watch_event_frame(const struct watch_event *event, unsigned encoding)
{
	return event->encoded ? ((struct frames *)event->encoded)->by_encoding[encoding] : NULL;
}

struct rpc_frame *watch_event_keep_frame(struct watch_event *event, unsigned encoding,
					 const ProtobufCMessage *message)
{
	struct frames *frames = (struct frames *)event->encoded;
	struct rpc_frame *frame = rpc_frame_new(encoding, message);
	size_t bytes = rpc_frame_memory(frame);

	if (!frames) {
		frames = mem_zalloc(sizeof(*frames));
		frames->attachment = (struct watch_attachment){sizeof(*frames), frames_free};
		bytes += sizeof(*frames);
		event->encoded = &frames->attachment;
	}
	frames->attachment.bytes += rpc_frame_memory(frame);
	frames->by_encoding[encoding] = frame;
	/*
	 * The queues that hold the event also hold its frames. If they do not fit, they are not
	 * charged.
	 */
	if (event->charge.holders > 0)
		budget_share_take(&event->charge.share, bytes);
	return frame;
}
