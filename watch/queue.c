/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/queue.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "watch/engine/event.h"
#include "watch/engine/memory.h"
#include "watch/engine/names.h"

#define RING_FIRST 16

struct watch_slot {
	struct watch_event *event; /* a reference */
	uint32_t bytes;		   /* counted in watch_queue.bytes */
	bool own;		   /* charged to the queue's share, not through the event */
};

void watch_queue_init(struct watch_queue *queue, struct budget *budget)
{
	memset(queue, 0, sizeof(*queue));
	budget_share_init(&queue->share, budget, BUDGET_CLASS_WATCH);
}

static struct watch_slot *slot(const struct watch_queue *queue, uint64_t number)
{
	return &queue->ring[number & (queue->capacity - 1)];
}

struct watch_event *watch_queue_at(const struct watch_queue *queue, uint32_t i)
{
	return slot(queue, queue->first + i)->event;
}

struct watch_event *watch_queue_first(const struct watch_queue *queue)
{
	return queue->n ? watch_queue_at(queue, 0) : NULL;
}

#define RECENT_BYTES (WATCH_QUEUE_RECENT * sizeof(uint64_t))

/*
 * Makes room for one more event: doubles the ring; events keep their numbers. Returns false if the
 * budget has no room for the ring, which is charged to this queue.
 */
static bool reserve(struct watch_queue *queue)
{
	uint32_t capacity = queue->capacity ? queue->capacity * 2 : RING_FIRST, i;
	struct watch_slot *ring;

	if (queue->n < queue->capacity)
		return true;
	if (!budget_share_take(&queue->share, (capacity - queue->capacity) * sizeof(*ring) +
						      (queue->recent ? 0 : RECENT_BYTES)))
		return false;
	if (!queue->recent)
		queue->recent = mem_zalloc(RECENT_BYTES);
	ring = mem_alloc(capacity * sizeof(*ring));
	for (i = 0; i < queue->n; i++)
		ring[(queue->first + i) & (capacity - 1)] = *slot(queue, queue->first + i);
	free(queue->ring);
	queue->ring = ring;
	queue->capacity = capacity;
	return true;
}

/* An empty queue keeps no memory. */
static void free_memory(struct watch_queue *queue)
{
	if (queue->ring)
		budget_share_give(&queue->share,
				  queue->capacity * sizeof(*queue->ring) + RECENT_BYTES);
	free(queue->ring);
	free(queue->recent);
	queue->ring = NULL;
	queue->recent = NULL;
	queue->capacity = 0;
}

static uint64_t *recent_of(struct watch_queue *queue, const struct watch_event *event)
{
	return &queue->recent[watch_name_hash(event->name, event->name_bytes) % WATCH_QUEUE_RECENT];
}

/* Returns the slot of a waiting event with the same type and name, or NULL. */
static struct watch_slot *find_repeat(struct watch_queue *queue, const struct watch_event *event)
{
	const struct watch_event *old;
	struct watch_slot *found;
	uint64_t number;

	if (!queue->recent || (event->type != WATCH_WRITE && event->type != WATCH_CHMOD))
		return NULL;
	number = *recent_of(queue, event);
	if (number <= queue->first)
		return NULL;
	found = slot(queue, number - 1);
	old = found->event;
	if (old->type != event->type || old->look_again != event->look_again ||
	    old->name_bytes != event->name_bytes ||
	    memcmp(old->name, event->name, event->name_bytes) != 0)
		return NULL;
	return found;
}

/* Charges an event and fills in its slot. Returns false if there is no room. */
static bool hold(struct watch_queue *queue, struct watch_event *event, struct watch_slot *ret)
{
	size_t bytes = watch_event_bytes(event);

	*ret = (struct watch_slot){.event = event, .bytes = (uint32_t)bytes};
	if (bytes > WATCH_QUEUE_MAX_BYTES - queue->bytes)
		return false;
	if (!budget_charge_hold(&event->charge, queue->share.budget, BUDGET_CLASS_WATCH, bytes)) {
		if (!budget_share_take(&queue->share, bytes))
			return false;
		ret->own = true;
	}
	queue->bytes += bytes;
	watch_event_ref(event);
	return true;
}

static void release(struct watch_queue *queue, const struct watch_slot *held)
{
	if (held->own)
		budget_share_give(&queue->share, held->bytes);
	else
		budget_charge_drop(&held->event->charge);
	queue->bytes -= held->bytes;
	watch_event_unref(held->event);
}

void watch_queue_push(struct watch_queue *queue, struct watch_event *event)
{
	struct watch_slot held, *old;

	if (queue->dropped)
		return;
	old = find_repeat(queue, event);
	if ((!old && (queue->n == WATCH_QUEUE_MAX_EVENTS || !reserve(queue))) ||
	    !hold(queue, event, &held)) {
		queue->dropped = true;
		if (!queue->n)
			free_memory(queue);
		return;
	}
	if (old) {
		/* Keep the newer event, because its EntryInfo is newer. */
		release(queue, old);
		*old = held;
		return;
	}
	*slot(queue, queue->first + queue->n) = held;
	queue->n++;
	*recent_of(queue, event) = queue->first + queue->n;
}

void watch_queue_pop(struct watch_queue *queue)
{
	release(queue, slot(queue, queue->first));
	queue->first++;
	if (--queue->n == 0)
		free_memory(queue);
}

void watch_queue_recovered(struct watch_queue *queue)
{
	queue->dropped = false;
}

void watch_queue_clear(struct watch_queue *queue)
{
	while (queue->n)
		watch_queue_pop(queue);
	free_memory(queue);
	queue->dropped = false;
}
