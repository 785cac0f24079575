/*
 * The memory budget of all watches.
 *
 * What watching can cost, and which name bounds it:
 *
 *	the trees: for each watched directory a node (about 150 bytes), for each name in it about
 *	ten bytes and the name itself, kept so that a loss of events can be answered by telling
 *	what is different. All trees together: WATCH_MEMORY_MAX_BYTES. Of that the names of files
 *	may fill WATCH_NAMES_MAX_BYTES; a directory whose files find no room is not remembered,
 *	and is told as "look again" after a loss. Directories may fill the rest; one that finds no
 *	room is not watched, and its parent is looked at from time to time.
 *
 *	a kernel queue's bytes that wait while a worker looks at directories:
 *	WATCH_RAW_MAX_BYTES for each inotify instance, of which there are WATCH_INSTANCES_MAX.
 *
 *	events that wait for their reader: WATCH_QUEUE_MAX_BYTES and WATCH_QUEUE_MAX_EVENTS for
 *	each watcher, and BUDGET_BYTES for all. Watchers of one directory share an event's bytes,
 *	yet each is charged for them.
 *
 *	the watchers themselves: BUDGET_WATCHERS, some 300 bytes each.
 *
 * The kernel has limits of its own: fs.inotify.max_user_watches, max_user_instances and
 * max_queued_events (inotify(7)). Reaching one of them never ends a watch that is there.
 *
 * Safe on any thread.
 */
#ifndef WATCH_ENGINE_MEMORY_H
#define WATCH_ENGINE_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define WATCH_MEMORY_MAX_BYTES (64u * 1024 * 1024)
#define WATCH_NAMES_MAX_BYTES  (48u * 1024 * 1024)
#define WATCH_RAW_MAX_BYTES    (1024u * 1024)
#define WATCH_INSTANCES_MAX    64
#define WATCH_QUEUE_MAX_BYTES  (4u * 1024 * 1024)
#define WATCH_QUEUE_MAX_EVENTS 16384 /* as many as wait in the kernel: max_queued_events */

/* All zero but for the limits is ready for use. */
struct watch_memory {
	_Atomic size_t used_bytes;
	size_t max_bytes;
	size_t names_max_bytes;
};

static inline void watch_memory_init(struct watch_memory *m)
{
	atomic_store(&m->used_bytes, 0);
	m->max_bytes = WATCH_MEMORY_MAX_BYTES;
	m->names_max_bytes = WATCH_NAMES_MAX_BYTES;
}

/* Takes n bytes where no more than `limit_bytes` are then in use; otherwise takes nothing. */
static inline bool watch_memory_take(struct watch_memory *m, size_t n, size_t limit_bytes)
{
	size_t used = atomic_load_explicit(&m->used_bytes, memory_order_relaxed);

	do {
		if (n > limit_bytes || used > limit_bytes - n)
			return false;
	} while (!atomic_compare_exchange_weak(&m->used_bytes, &used, used + n));
	return true;
}

static inline void watch_memory_give(struct watch_memory *m, size_t n)
{
	atomic_fetch_sub_explicit(&m->used_bytes, n, memory_order_relaxed);
}

#endif
