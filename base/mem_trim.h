/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Returns free heap memory to the kernel after a burst of work. Runs on the loop.
 *
 * malloc returns only the top of the heap to the kernel. One small live block near the top keeps
 * all free pages below it resident, so mem_trim returns them explicitly (malloc_trim(3)).
 */
#ifndef BASE_MEM_TRIM_H
#define BASE_MEM_TRIM_H

#include "base/loop.h"

/*
 * After mem_trim_released a timer counts spans of this length. The heap is trimmed after a span
 * without a further call, and after MEM_TRIM_PATIENCE spans even if calls go on.
 */
#define MEM_TRIM_QUIET_MS   2000
#define MEM_TRIM_PATIENCE   5
#define MEM_TRIM_KEEP_BYTES (64u * 1024) /* does not trim if less is free */

struct mem_trim {
	struct timer timer;
	unsigned released; /* calls of mem_trim_released since the timer was set */
	unsigned spans;	   /* spans in a row with a call of mem_trim_released */
};

/* Sets malloc's options for the whole process, and initialises the timer. */
void mem_trim_init(struct mem_trim *trim, struct loop *loop);

/* Call it when an object ends and its memory is freed or about to be. Cheap. Accepts NULL. */
void mem_trim_released(struct mem_trim *trim);

#endif
