/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap, kept small: what a burst of work took goes back to the system when the work is over.
 *
 * malloc gives back its top by itself. Below one small thing that lives on, whole pages of freed
 * ones stay the daemon's until they are asked for; after a burst that is most of the heap. Loop
 * only.
 */
#ifndef BASE_MEM_TRIM_H
#define BASE_MEM_TRIM_H

#include "base/loop.h"

#define MEM_TRIM_QUIET_MS   2000 /* without anything freed, before the pages go back */
#define MEM_TRIM_PATIENCE   5	 /* such spans; then they go back between two pieces of work */
#define MEM_TRIM_KEEP_BYTES (64u * 1024) /* free memory that is not worth the walk */

struct mem_trim {
	struct timer timer;
	unsigned released; /* since the timer was set */
	unsigned spans;	   /* that were not quiet */
};

/* Sets how malloc keeps its memory, for the whole process. */
void mem_trim_init(struct mem_trim *trim, struct loop *loop);

/* Something ended, and its memory was freed or is about to be. Cheap. NULL is fine. */
void mem_trim_released(struct mem_trim *trim);

#endif
