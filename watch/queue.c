#include "watch/queue.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "watch/engine/event.h"
#include "watch/engine/memory.h"
#include "watch/engine/names.h"

#define RING_FIRST 16

struct watch_event *watch_queue_at(const struct watch_queue *queue, uint32_t i)
{
	return queue->ring[(queue->first + i) & (queue->capacity - 1)];
}

static struct watch_event **slot(struct watch_queue *queue, uint64_t number)
{
	return &queue->ring[number & (queue->capacity - 1)];
}

/* Doubles the ring; every event keeps its number. */
static void grow(struct watch_queue *queue)
{
	uint32_t capacity = queue->capacity ? queue->capacity * 2 : RING_FIRST, i;
	struct watch_event **ring = mem_alloc(capacity * sizeof(struct watch_event *));

	for (i = 0; i < queue->n; i++)
		ring[(queue->first + i) & (capacity - 1)] = watch_queue_at(queue, i);
	free(queue->ring);
	queue->ring = ring;
	queue->capacity = capacity;
}

static uint64_t *recent_of(struct watch_queue *queue, const struct watch_event *event)
{
	return &queue->recent[watch_name_hash(event->name, event->name_bytes) % WATCH_QUEUE_RECENT];
}

/* The waiting event that says what this one says, or NULL. */
static struct watch_event **find_repeat(struct watch_queue *queue, const struct watch_event *event)
{
	struct watch_event **old;
	uint64_t number;

	if (!queue->recent || (event->type != WATCH_WRITE && event->type != WATCH_CHMOD))
		return NULL;
	number = *recent_of(queue, event);
	if (number <= queue->first)
		return NULL;
	old = slot(queue, number - 1);
	if ((*old)->type != event->type || (*old)->look_again != event->look_again ||
	    (*old)->name_bytes != event->name_bytes ||
	    memcmp((*old)->name, event->name, event->name_bytes) != 0)
		return NULL;
	return old;
}

static bool charge(struct watch_queue *queue, size_t bytes)
{
	if (bytes > WATCH_QUEUE_MAX_BYTES - queue->bytes ||
	    !budget_share_take(&queue->share, bytes))
		return false;
	queue->bytes += bytes;
	return true;
}

static void discharge(struct watch_queue *queue, size_t bytes)
{
	budget_share_give(&queue->share, bytes);
	queue->bytes -= bytes;
}

void watch_queue_push(struct watch_queue *queue, struct watch_event *event)
{
	struct watch_event **old;
	size_t bytes = watch_event_bytes(event);

	if (queue->dropped)
		return;
	old = find_repeat(queue, event);
	if ((!old && queue->n == WATCH_QUEUE_MAX_EVENTS) || !charge(queue, bytes)) {
		queue->dropped = true;
		return;
	}
	watch_event_ref(event);
	if (old) {
		/* The newer one may know the entry better. */
		discharge(queue, watch_event_bytes(*old));
		watch_event_unref(*old);
		*old = event;
		return;
	}
	if (queue->n == queue->capacity)
		grow(queue);
	if (!queue->recent)
		queue->recent = mem_zalloc(WATCH_QUEUE_RECENT * sizeof(*queue->recent));
	*slot(queue, queue->first + queue->n) = event;
	queue->n++;
	*recent_of(queue, event) = queue->first + queue->n;
}

struct watch_event *watch_queue_first(const struct watch_queue *queue)
{
	return queue->n ? watch_queue_at(queue, 0) : NULL;
}

/* What only a queue that is in use needs. */
static void free_memory(struct watch_queue *queue)
{
	free(queue->ring);
	free(queue->recent);
	queue->ring = NULL;
	queue->recent = NULL;
	queue->capacity = 0;
}

void watch_queue_pop(struct watch_queue *queue)
{
	struct watch_event *event = watch_queue_at(queue, 0);

	discharge(queue, watch_event_bytes(event));
	watch_event_unref(event);
	queue->first++;
	if (--queue->n == 0)
		free_memory(queue);
}

void watch_queue_told(struct watch_queue *queue)
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
