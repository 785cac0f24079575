/*
 * Events that wait for their reader: a bounded ring.
 *
 * A WRITE or CHMOD takes the place of the same event that is waiting already, where no other event
 * of that name came between: whoever reads the first of them reads what both would have said. When
 * there is no room for an event, the queue takes no more until it was emptied and the loss was told
 * (watch_queue_told): whatever was dropped is then older than the reader's "look again".
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

/* Slots of the table that finds repeats, by the hash of a name. */
#define WATCH_QUEUE_RECENT 256

/* All zero but for the share is the empty queue. */
struct watch_queue {
	struct budget_share share;
	struct watch_event **ring;
	uint32_t capacity; /* a power of two */
	uint32_t n;
	uint64_t first; /* events that were taken out, ever: the number of the first in the ring */
	size_t bytes;	/* charged to the share */
	uint64_t *recent; /* by hash: one more than the number of the last event; NULL: none */
	bool dropped;	  /* events, which is yet to be told */
};

/* Adds an event; takes a reference of its own. */
void watch_queue_push(struct watch_queue *queue, struct watch_event *event);

/* The first event, borrowed, or NULL; and letting go of it. */
struct watch_event *watch_queue_first(const struct watch_queue *queue);
void watch_queue_pop(struct watch_queue *queue);

/* The i-th event, borrowed. */
struct watch_event *watch_queue_at(const struct watch_queue *queue, uint32_t i);

/* The reader of an empty queue was told that events were dropped. */
void watch_queue_told(struct watch_queue *queue);

/* Lets go of all events, and of the memory. */
void watch_queue_clear(struct watch_queue *queue);

#endif
