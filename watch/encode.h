/* SPDX-License-Identifier: Apache-2.0 */
/* Turns events into messages: filesystem.FilesystemEvent. */
#ifndef WATCH_ENCODE_H
#define WATCH_ENCODE_H

#include "base/arena.h"
#include "filesystem.pb-c.h"

struct watch_event;
struct watcher;

/*
 * An event in the form for one watcher's client. Must not be copied, because it contains pointers
 * into itself.
 */
struct watch_message {
	Filesystem__FilesystemEvent event;
	Filesystem__EntryInfo entry;
};

/* Fills the message. It borrows the event's strings; other strings lie in the arena. */
Filesystem__FilesystemEvent *watch_message_fill(struct watch_message *m, const struct watcher *w,
						const struct watch_event *event,
						struct arena *arena);

#endif
