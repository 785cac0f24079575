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
