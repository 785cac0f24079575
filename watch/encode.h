/* SPDX-License-Identifier: Apache-2.0 */
/* Turns events into messages: filesystem.FilesystemEvent. */
#ifndef WATCH_ENCODE_H
#define WATCH_ENCODE_H

#include "base/arena.h"
#include "filesystem.pb-c.h"

struct watch_event;
struct watcher;

/*
 * Returns an event in the form for one watcher's client, in the arena. It may borrow the event's
 * strings.
 */
Filesystem__FilesystemEvent *watch_message(const struct watcher *w, const struct watch_event *event,
					   struct arena *arena);

/* Returns "look again" as a client receives it after a loss: WRITE of ".". */
Filesystem__FilesystemEvent *watch_message_look_again(struct arena *arena);

#endif
