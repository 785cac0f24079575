/* SPDX-License-Identifier: Apache-2.0 */
/* Encodes events as filesystem.FilesystemEvent, and as frames that several streams share. */
#ifndef WATCH_ENCODE_H
#define WATCH_ENCODE_H

#include "base/arena.h"
#include "filesystem.pb-c.h"

struct rpc_frame;
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

/*
 * Returns the frame of an event in an encoding, or NULL if none was stored. Borrowed from the
 * event.
 */
struct rpc_frame *watch_event_frame(const struct watch_event *event, unsigned encoding);

/* Encodes the message of an event, and stores the frame in the event. Borrowed from the event. */
struct rpc_frame *watch_event_keep_frame(struct watch_event *event, unsigned encoding,
					 const ProtobufCMessage *message);

#endif
