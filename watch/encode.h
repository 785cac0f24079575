/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events as filesystem.FilesystemEvent, and as frames that several streams share.
 */
#ifndef WATCH_ENCODE_H
#define WATCH_ENCODE_H

#include "base/arena.h"
#include "filesystem.pb-c.h"

struct rpc_frame;
struct watch_event;
struct watcher;

/* An event as one watcher's client sees it. Not to be copied: it points into itself. */
struct watch_message {
	Filesystem__FilesystemEvent event;
	Filesystem__EntryInfo entry;
};

/* Fills the message. It borrows the event's strings; other strings lie in the arena. */
Filesystem__FilesystemEvent *watch_message_fill(struct watch_message *m, const struct watcher *w,
						const struct watch_event *event,
						struct arena *arena);

/* The frame of an event in an encoding, or NULL if none was kept. Borrowed from the event. */
struct rpc_frame *watch_event_frame(const struct watch_event *event, unsigned encoding);

/* Encodes the message of an event, and keeps the frame with the event. Borrowed from the event. */
struct rpc_frame *watch_event_keep_frame(struct watch_event *event, unsigned encoding,
					 const ProtobufCMessage *message);

#endif
