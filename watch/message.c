#include "watch/message.h"

#include <string.h>

#include "fs/entry.h"
#include "watch/engine/event.h"
#include "watch/entry.h"
#include "watch/watcher.h"

/* The path of an entry, by the name that the client called the watched directory. */
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
	const struct watch_event *now = event;

	filesystem__filesystem_event__init(&m->event);
	m->event.name = fs_text(event->name, arena);
	m->event.type = (Filesystem__EventType)event->type;
	if (w->pairs && event->to) {
		now = event->to;
		m->event.renamed_to = fs_text(now->name, arena);
		m->event.opt_renamed_to_case =
			FILESYSTEM__FILESYSTEM_EVENT__OPT_RENAMED_TO_RENAMED_TO;
	}
	if (now->entry && w->want_entry) {
		m->entry = now->entry->info;
		m->entry.path = entry_path(w, now->name, arena);
		if (strcmp(now->name, ".") == 0)
			m->entry.name = fs_path_name(m->entry.path, arena);
		m->event.entry = &m->entry;
		m->event.opt_entry_case = FILESYSTEM__FILESYSTEM_EVENT__OPT_ENTRY_ENTRY;
	}
	return &m->event;
}
