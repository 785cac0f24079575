/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The events that wait for one watcher's reader: a bounded ring.
 *
 * A WRITE or CHMOD replaces the same event of the same name that waits already, if no other event
 * of the name came between: whoever reads the earlier one then sees what both stand for.
 *
 * If there is no room for an event, the queue drops it and all later ones, until the queue is empty
 * and its reader was told to look again (watch_queue_recovered). So whatever was dropped is older
 * than the reader's look.
 *
 * Memory. The ring is charged to a share of the queue's own. An event that several queues hold is
 * charged to the budget once (watch_event.charge). If the class WATCH is full, the queue charges
 * the event to its share as well, which can grow to a few KiB all the same (base/budget.h). So a
 * watcher gets its events although other watchers' readers never come.
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

/* Slots of the table that finds repeats, by the hash of a name. */
#define WATCH_QUEUE_RECENT 64

/* Empty after watch_queue_init. */
struct watch_queue {
	struct budget_share share; /* of this queue alone */
	struct watch_slot *ring;
	uint32_t capacity; /* a power of two */
	uint32_t n;
	uint64_t first;	  /* the number of the first event in the ring: events taken out so far */
	size_t bytes;	  /* of the events in the ring, whoever is charged */
	uint64_t *recent; /* by hash: the number of the last event, plus one; NULL: none */
	bool dropped;	  /* events were dropped, and the reader was not told yet */
};

void watch_queue_init(struct watch_queue *queue, struct budget *budget);

/* Adds an event, with a reference of its own, or drops it. */
void watch_queue_push(struct watch_queue *queue, struct watch_event *event);

/* The first event, borrowed, or NULL; and removing it. */
struct watch_event *watch_queue_first(const struct watch_queue *queue);
void watch_queue_pop(struct watch_queue *queue);

/* The i-th event, borrowed. */
struct watch_event *watch_queue_at(const struct watch_queue *queue, uint32_t i);

/* The queue is empty, and the reader was told to look again: takes events again. */
void watch_queue_recovered(struct watch_queue *queue);

/* Removes all events, and frees the memory. */
void watch_queue_clear(struct watch_queue *queue);

#endif
