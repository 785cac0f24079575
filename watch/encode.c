/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/encode.h"

#include <string.h>

#include "fs/entry.h"
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

Filesystem__FilesystemEvent *watch_message(const struct watcher *w, const struct watch_event *event,
					   struct arena *arena)
{
	Filesystem__FilesystemEvent *message = arena_alloc(arena, sizeof(*message));

	filesystem__filesystem_event__init(message);
	message->name = fs_text(event->name, arena);
	message->type = (Filesystem__EventType)event->type;
	if (!event->entry || !w->want_entry)
		return message;
	message->entry = watch_entry_unpack(event->entry, arena);
	if (!message->entry)
		return message;
	message->entry->path = entry_path(w, event->name, arena);
	if (strcmp(event->name, ".") == 0)
		message->entry->name = fs_path_name(message->entry->path, arena);
	message->opt_entry_case = FILESYSTEM__FILESYSTEM_EVENT__OPT_ENTRY_ENTRY;
	return message;
}

Filesystem__FilesystemEvent *watch_message_look_again(struct arena *arena)
{
	Filesystem__FilesystemEvent *message = arena_alloc(arena, sizeof(*message));

	filesystem__filesystem_event__init(message);
	message->name = arena_strdup(arena, ".");
	message->type = FILESYSTEM__EVENT_TYPE__EVENT_TYPE_WRITE;
	return message;
}
