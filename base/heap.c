#include "base/heap.h"

#include <malloc.h>

/* Gives the free pages back once it is quiet, or it has not been for long. */
static void settle(void *arg)
{
	struct heap *heap = arg;

	if (heap->released && ++heap->spans < HEAP_PATIENCE) {
		heap->released = 0;
		timer_set_ms(&heap->timer, HEAP_QUIET_MS);
		return;
	}
	heap->released = 0;
	heap->spans = 0;
	if (mallinfo2().fordblks > HEAP_KEEP_BYTES)
		malloc_trim(0);
}

/*
 * One arena, for threads allocate little, and big pieces straight from the kernel. What two chunks
 * of output take stays at the top, or each pair of them would have the heap grow and shrink.
 */
void heap_init(struct heap *heap, struct loop *loop)
{
	*heap = (struct heap){0};
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TRIM_THRESHOLD, 256 * 1024);
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	mallopt(M_TOP_PAD, 16 * 1024);
	timer_init(&heap->timer, loop, settle, heap);
}

void heap_clear(struct heap *heap)
{
	timer_cancel(&heap->timer);
}

void heap_released(struct heap *heap)
{
	if (!heap)
		return;
	if (timer_pending(&heap->timer))
		heap->released++;
	else
		timer_set_ms(&heap->timer, HEAP_QUIET_MS);
}
