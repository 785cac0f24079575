/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded ring of events that wait for one watcher's reader.
 *
 * A WRITE or CHMOD takes the place of a waiting event with the same type and name, if no other
 * event of this name came in between: a reader that acts on one event sees the effect of both.
 *
 * If there is no room for an event, the queue drops it and all later ones, until the queue is empty
 * and its reader was told to look again (watch_queue_recovered). So the reader lists the directory
 * after the last dropped event.
 *
 * Memory: the ring is charged to the queue's own share. An event that several queues hold is
 * charged to the budget once (watch_event.charge). If the class WATCH is full, the event is charged
 * to the queue's share instead, which may always grow to a few KiB (base/budget.h). So a watcher
 * receives events even if the readers of other watchers never fetch theirs.
 *
 * Loop only.
 */
#ifndef WATCH_QUEUE_H
#define WATCH_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"

struct watch_event;
struct watch_slot;

/* Slots of the table, indexed by the hash of a name, that finds repeated events. */
#define WATCH_QUEUE_RECENT 64

/* Empty after watch_queue_init. */
struct watch_queue {
	struct budget_share share; /* of this queue alone */
	struct watch_slot *ring;
	uint32_t capacity; /* a power of two */
	uint32_t n;
	uint64_t first;	  /* the number of the first event: how many were removed so far */
	size_t bytes;	  /* size of the events in the ring, charged to any share */
	uint64_t *recent; /* by hash: the number of the last event plus one; may be NULL */
	bool dropped;	  /* events were dropped, and the reader does not know yet */
};

void watch_queue_init(struct watch_queue *queue, struct budget *budget);

/* Adds an event and takes a reference, or drops the event. */
void watch_queue_push(struct watch_queue *queue, struct watch_event *event);

/* watch_queue_first returns the first event, borrowed, or NULL. watch_queue_pop removes it. */
struct watch_event *watch_queue_first(const struct watch_queue *queue);
void watch_queue_pop(struct watch_queue *queue);

/* Returns the i-th event, borrowed. */
struct watch_event *watch_queue_at(const struct watch_queue *queue, uint32_t i);

/*
 * Lets the queue accept events again. Call it when the queue is empty and the reader was told to
 * look again.
 */
void watch_queue_recovered(struct watch_queue *queue);

/* Removes all events, and frees the memory. */
void watch_queue_clear(struct watch_queue *queue);

#endif
