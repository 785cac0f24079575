/*
 * Events as messages: filesystem.FilesystemEvent.
 */
#ifndef WATCH_MESSAGE_H
#define WATCH_MESSAGE_H

#include "base/arena.h"
#include "filesystem.pb-c.h"

struct watch_event;
struct watcher;

/* An event as a watcher's client is to see it. Not to be copied: it points into itself. */
struct watch_message {
	Filesystem__FilesystemEvent event;
	Filesystem__EntryInfo entry;
};

/* Fills it in. It borrows the event's strings; others lie in the arena. */
Filesystem__FilesystemEvent *watch_message_fill(struct watch_message *m, const struct watcher *w,
						const struct watch_event *event,
						struct arena *arena);

#endif
