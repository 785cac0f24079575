/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem_trim.h"

#include <malloc.h>

/* Trims the heap after a span without frees, or after MEM_TRIM_PATIENCE spans. */
static void settle(void *arg)
{
	struct mem_trim *trim = arg;

	if (trim->released && ++trim->spans < MEM_TRIM_PATIENCE) {
		trim->released = 0;
		timer_set_ms(&trim->timer, MEM_TRIM_QUIET_MS);
		return;
	}
	trim->released = 0;
	trim->spans = 0;
	if (mallinfo2().fordblks > MEM_TRIM_KEEP_BYTES)
		malloc_trim(0);
}

/*
 * Uses one arena, because threads allocate little, and large pieces come directly from the kernel.
 * The top of the heap keeps room for two chunks of output; otherwise each pair of chunks would grow
 * the heap and shrink it again.
 */
void mem_trim_init(struct mem_trim *trim, struct loop *loop)
{
	*trim = (struct mem_trim){0};
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TRIM_THRESHOLD, 256 * 1024);
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	mallopt(M_TOP_PAD, 16 * 1024);
	timer_init(&trim->timer, loop, settle, trim);
}

void mem_trim_released(struct mem_trim *trim)
{
	if (!trim)
		return;
	if (timer_pending(&trim->timer))
		trim->released++;
	else
		timer_set_ms(&trim->timer, MEM_TRIM_QUIET_MS);
}
