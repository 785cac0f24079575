/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accounts for the memory of all watched trees together. The limits of watching are:
 *
 *	nodes		about 150 bytes for each watched directory, and ten bytes and the text for
 *			each name in it; the names are needed to emit differences after an overflow.
 *			All trees: WATCH_MEMORY_MAX_BYTES. The names of files may use
 *			WATCH_NAMES_MAX_BYTES of that; if they do not fit, their directory does not
 *			remember its files, and emits "look again" after an overflow. A directory
 *			that does not fit is not watched; its parent is read from time to time.
 *
 *	kernel events	read while a worker looks at directories: WATCH_RAW_MAX_BYTES for each
 *			inotify instance. WATCH_INSTANCES_MAX bounds the instances.
 *
 *	queued events	WATCH_QUEUE_MAX_BYTES and WATCH_QUEUE_MAX_EVENTS for each watcher; for all
 *			watchers the class WATCH of base/budget.h, where an event that several
 *			watchers share is charged once.
 *
 *	watchers	BUDGET_WATCHERS, some 300 bytes each.
 *
 * The kernel's own limits are fs.inotify.max_user_watches, max_user_instances and
 * max_queued_events (inotify(7)). Reaching one of them does not end a watch.
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
#define WATCH_QUEUE_MAX_EVENTS 16384 /* the kernel's default for max_queued_events */

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

/*
 * Takes n bytes and returns true, if the use is then at most limit_bytes. Otherwise returns false.
 */
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
