/*
 * The heap, kept small: what a burst of work took goes back to the system when the work is over.
 *
 * malloc gives back its top by itself. Below one small thing that lives on, whole pages of freed
 * ones stay the daemon's until they are asked for; after a burst that is most of the heap. Loop
 * only.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include "base/loop.h"

#define HEAP_QUIET_MS	2000	     /* without anything freed, before the pages go back */
#define HEAP_PATIENCE	5	     /* such spans; then they go back between two pieces of work */
#define HEAP_KEEP_BYTES (64u * 1024) /* free memory that is not worth the walk */

struct heap {
	struct timer timer;
	unsigned released; /* since the timer was set */
	unsigned spans;	   /* that were not quiet */
};

/* Sets how malloc keeps its memory, for the whole process. */
void heap_init(struct heap *heap, struct loop *loop);
void heap_clear(struct heap *heap);

/* Something ended, and its memory was freed or is about to be. Cheap. NULL is fine. */
void heap_released(struct heap *heap);

#endif
