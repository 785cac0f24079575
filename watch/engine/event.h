/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event of a watched tree, before it is encoded for clients.
 *
 * The owner of a source makes events. All watchers of a tree share one event by reference. The
 * reference count is not atomic: once an event has left its source, only the loop uses it.
 */
#ifndef WATCH_ENGINE_EVENT_H
#define WATCH_ENGINE_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"

/* The numbers are those of filesystem.EventType. */
enum watch_event_type {
	WATCH_CREATE = 1,
	WATCH_WRITE = 2,
	WATCH_REMOVE = 3,
	WATCH_RENAME = 4,
	WATCH_CHMOD = 5,
};

/* Data that the layer above (watch/) attaches to an event: an EntryInfo. */
struct watch_attachment {
	size_t bytes; /* of memory */
	void (*free)(struct watch_attachment *attachment);
};

struct watch_event {
	unsigned refs;
	uint16_t name_bytes;
	uint8_t type; /* enum watch_event_type */
	bool is_dir;
	bool look_again;		/* a WRITE that stands for changes without events */
	struct budget_charge charge;	/* for its bytes, once for all queues that hold it */
	struct watch_attachment *entry; /* NULL: none; owned */
	char name[]; /* relative to the watched directory, with a NUL; "." is that directory */
};

/* Makes an event with one reference. Copies the name. */
struct watch_event *watch_event_new(enum watch_event_type type, const char *name, size_t n);
struct watch_event *watch_event_ref(struct watch_event *event);
void watch_event_unref(struct watch_event *event); /* NULL is fine */

/* Returns the memory of an event with its attachment, in bytes. */
size_t watch_event_bytes(const struct watch_event *event);

#endif
