/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/engine/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/thread.h"

/* Nodes that are freed at once, and steps of a worker between two checks of the clock. */
#define COLLECT_NODES  256
#define STEPS_PER_LOOK 64

struct watch_source *watch_source_new(int fd, struct watch_memory *memory,
				      struct watch_mounts *mounts)
{
	struct watch_source *source = mem_zalloc(sizeof(*source));
	int i;

	source->fd = fd;
	source->memory = memory;
	source->mounts = mounts;
	source->drive_events = WATCH_DRIVE_EVENTS;
	for (i = 0; i < WATCH_LOOK_NONE; i++)
		TAILQ_INIT(&source->look[i]);
	TAILQ_INIT(&source->trees);
	TAILQ_INIT(&source->discarded);
	TAILQ_INIT(&source->moves);
	source->drained = watch_mark_now();
	return source;
}

void watch_source_add(struct watch_source *source, struct watch_tree *tree)
{
	tree->source = source;
	TAILQ_INSERT_TAIL(&source->trees, tree, link);
	source->n_trees++;
	tree->polled = tree->polled_before = watch_mark_now();
	tree->top = watch_node_new(tree, NULL, 0);
	if (tree->top) {
		watch_node_look(tree->top, WATCH_LOOK_NOW);
		return;
	}
	tree->start_error = -ENOMEM;
	watch_tree_set_state(tree, WATCH_TREE_SILENT);
}

/* Drops the outputs of a tree, or all (NULL). */
static void drop_outputs(struct watch_source *source, const struct watch_tree *tree)
{
	size_t i, kept = 0;

	for (i = 0; i < source->n_outputs; i++) {
		if (tree && source->outputs[i].tree != tree)
			source->outputs[kept++] = source->outputs[i];
		else
			watch_event_unref(source->outputs[i].event);
	}
	source->n_outputs = kept;
}

void watch_source_remove(struct watch_source *source, struct watch_tree *tree)
{
	struct watch_node *top = tree->top;

	if (source->scan.tree == tree)
		watch_scan_abort(source);
	watch_follow_expire(source, tree, 0);
	drop_outputs(source, tree);
	TAILQ_REMOVE(&source->trees, tree, link);
	source->n_trees--;
	watch_tree_set_state(tree, WATCH_TREE_REMOVED);
	if (top) {
		watch_node_detach(top);
		watch_node_discard(top);
	}
	if (tree->n_nodes == 0)
		watch_tree_free(tree);
}

void watch_source_free(struct watch_source *source)
{
	struct watch_tree *tree;

	if (!source)
		return;
	/* This removes all watches at once, which is faster than removing them one by one. */
	fd_close(&source->fd);
	while ((tree = TAILQ_FIRST(&source->trees)))
		watch_source_remove(source, tree);
	while (watch_tree_collect(source, COLLECT_NODES))
		;
	drop_outputs(source, NULL);
	watch_wdmap_clear(&source->wds);
	free(source->scan.frames);
	free(source->scan.buffer);
	free(source->outputs);
	free(source->raw);
	free(source->path);
	free(source);
}

/* ---- the kernel's queue ---- */

uint64_t watch_source_queued_bytes(struct watch_source *source)
{
	int waiting = 0;

	if (source->fd < 0 || ioctl(source->fd, FIONREAD, &waiting) < 0)
		waiting = 0;
	return source->read_bytes + (uint64_t)waiting;
}

uint64_t watch_source_applied_bytes(const struct watch_source *source)
{
	return source->read_bytes - (source->raw_end - source->raw_begin);
}

/*
 * Records an overflow. The events were lost after the queue was last empty, that is, after the read
 * that emptied it. The overflow is handled when the burst is over.
 */
static void note_overflow(struct watch_source *source)
{
	source->overflows++;
	if (source->overflowed)
		return;
	source->overflowed = true;
	source->lost_since = source->drained;
	source->relist_ms = clock_monotonic_ms() + WATCH_RELIST_DELAY_MS;
	if (source->relist_ms < source->relist_not_before_ms)
		source->relist_ms = source->relist_not_before_ms;
}

/*
 * Searches the bytes that were just read for an overflow, before the events ahead of it are
 * applied. An incomplete event also counts as an overflow, because the rest can't be decoded.
 */
static void find_overflow(struct watch_source *source, size_t at)
{
	struct inotify_record record;
	ssize_t n;

	for (; (n = inotify_decode(source->raw + at, source->raw_end - at, &record)) > 0;
	     at += (size_t)n)
		if (record.mask & IN_Q_OVERFLOW)
			note_overflow(source);
	if (n == 0)
		return;
	log_error("inotify: an event that is not whole");
	source->raw_end = at;
	note_overflow(source);
}

/*
 * Reads a part of the kernel's queue. Returns the number of bytes, 0 if the queue is empty. A read
 * that leaves room for any event has emptied the queue.
 */
static size_t read_queue(struct watch_source *source)
{
	struct watch_mark before = watch_mark_now();
	size_t waiting = source->raw_end - source->raw_begin;
	ssize_t n;

	if (source->fd < 0)
		return 0;
	if (source->raw_begin > 0) {
		memmove(source->raw, source->raw + source->raw_begin, waiting);
		source->raw_begin = 0;
		source->raw_end = waiting;
	}
	if (waiting + INOTIFY_READ_BYTES > source->raw_capacity) {
		source->raw_capacity = 2 * waiting + INOTIFY_READ_BYTES;
		source->raw = mem_realloc(source->raw, source->raw_capacity);
	}
	n = read(source->fd, source->raw + waiting, INOTIFY_READ_BYTES);
	if (n < 0)
		n = 0;
	source->raw_end += (size_t)n;
	find_overflow(source, waiting);
	/* Bytes that can't be decoded are not counted, because they will not be applied. */
	source->read_bytes += source->raw_end - waiting;
	if ((size_t)n < INOTIFY_READ_BYTES / 2)
		source->drained = before;
	return (size_t)n;
}

/*
 * Reads events ahead while directories are scanned, so that the kernel's queue does not overflow.
 */
static void read_ahead(struct watch_source *source)
{
	while (source->raw_end - source->raw_begin < WATCH_RAW_MAX_BYTES)
		if (read_queue(source) == 0)
			break;
}

static bool has_raw(const struct watch_source *source)
{
	return source->raw_begin < source->raw_end;
}

/* Applies the next event that was read. */
static void apply_next(struct watch_source *source)
{
	struct inotify_record record;
	ssize_t n = inotify_decode(source->raw + source->raw_begin,
				   source->raw_end - source->raw_begin, &record);

	source->raw_begin += (size_t)n;
	watch_follow(source, &record);
}

/* ---- scheduled scans ---- */

/* Begins the scan of a waiting node. The events before are applied. */
static bool begin_look_now(struct watch_source *source)
{
	struct watch_node *node = TAILQ_FIRST(&source->look[WATCH_LOOK_NOW]);

	if (!node)
		return false;
	watch_node_looked(node);
	watch_scan_begin(source, node, false, WATCH_SINCE_NEVER);
	return true;
}

/* Reads a tree again after an overflow. */
static bool begin_look_all(struct watch_source *source)
{
	struct watch_node *top = TAILQ_FIRST(&source->look[WATCH_LOOK_ALL]);

	if (!top)
		return false;
	watch_node_looked(top);
	watch_scan_begin(source, top, true, watch_mark_since_ns(&top->tree->lost_since));
	return true;
}

/* Handles an overflow when the burst is over: schedules the reading of every tree. */
static bool begin_relist(struct watch_source *source, uint64_t now_ms)
{
	struct watch_tree *tree;

	if (!source->overflowed || now_ms < source->relist_ms)
		return false;
	source->overflowed = false;
	source->relist_began_ms = now_ms;
	TAILQ_FOREACH (tree, &source->trees, link) {
		if (!tree->top)
			continue;
		/* A scheduled reading covers the time since the earlier overflow. */
		if (tree->top->attention != WATCH_LOOK_ALL)
			tree->lost_since = source->lost_since;
		watch_node_look(tree->top, WATCH_LOOK_ALL);
	}
	return true;
}

/* Schedules the nodes of a list for a scan now, if they are attached. */
static bool promote(struct watch_source *source, enum watch_attention from)
{
	struct watch_node *node, *next;
	bool any = false;

	for (node = TAILQ_FIRST(&source->look[from]); node; node = next) {
		next = TAILQ_NEXT(node, link);
		if (watch_node_attached(node)) {
			watch_node_look(node, WATCH_LOOK_NOW);
			any = true;
		} else if (node->wd < 0) {
			watch_node_set_trust(node, WATCH_MISSED);
		}
	}
	return any;
}

/*
 * Tries to get an instance for a source without one. Its directories are polled once more, and then
 * watched.
 */
static void try_instance(struct watch_source *source)
{
	if (source->fd >= 0)
		return;
	source->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (source->fd >= 0)
		log_info("watches: an inotify instance is available again");
}

/* Begins the scan of directories without a watch, if it is due. */
static bool begin_poll(struct watch_source *source, uint64_t now_ms)
{
	struct watch_tree *tree;

	if (source->poll_began_ms) {
		source->poll_ms = now_ms + (now_ms - source->poll_began_ms) * WATCH_POLL_PAUSE;
		source->poll_began_ms = 0;
	}
	if (source->n_poll == 0) {
		source->poll_last_ms = now_ms;
		return false;
	}
	if (source->poll_ms < source->poll_last_ms + WATCH_POLL_MS)
		source->poll_ms = source->poll_last_ms + WATCH_POLL_MS;
	if (now_ms < source->poll_ms)
		return false;
	try_instance(source);
	source->poll_began_ms = now_ms;
	source->poll_last_ms = now_ms;
	TAILQ_FOREACH (tree, &source->trees, link) {
		tree->polled_before = tree->polled;
		tree->polled = watch_mark_now();
	}
	return promote(source, WATCH_LOOK_POLL);
}

/* Called when the kernel's queue is empty. Returns true if other work remains. */
static bool when_quiet(struct watch_source *source)
{
	uint64_t now_ms = clock_monotonic_ms();

	if (source->relist_began_ms) {
		source->relist_not_before_ms =
			now_ms + (now_ms - source->relist_began_ms) * WATCH_RELIST_PAUSE;
		source->relist_began_ms = 0;
	}
	watch_follow_expire(source, NULL, now_ms);
	return promote(source, WATCH_LOOK_QUIET) || begin_relist(source, now_ms) ||
	       begin_poll(source, now_ms) || !TAILQ_EMPTY(&source->discarded);
}

bool watch_source_is_looking(const struct watch_source *source)
{
	return source->scan.tree || !TAILQ_EMPTY(&source->look[WATCH_LOOK_NOW]) ||
	       !TAILQ_EMPTY(&source->look[WATCH_LOOK_ALL]);
}

/* ---- driving ---- */

static bool wants_entries(const struct watch_source *source)
{
	const struct watch_tree *tree;

	TAILQ_FOREACH (tree, &source->trees, link)
		if (tree->want_entries && tree->state == WATCH_TREE_LIVE)
			return true;
	return false;
}

/* Does the work that needs no scan of a directory, on the loop. */
static enum watch_drive drive_on_loop(struct watch_source *source)
{
	bool entries = wants_entries(source);
	unsigned applied = 0;

	for (;;) {
		if (watch_source_is_looking(source))
			return WATCH_DRIVE_WORK;
		if (source->n_outputs >= source->drive_events || applied >= WATCH_DRIVE_LOOP_MAX)
			return WATCH_DRIVE_MORE;
		if (watch_tree_collect(source, COLLECT_NODES))
			return WATCH_DRIVE_MORE;
		if (has_raw(source)) {
			if (entries)
				return WATCH_DRIVE_WORK;
			apply_next(source);
			applied++;
		} else if (read_queue(source) == 0 && !when_quiet(source)) {
			return WATCH_DRIVE_IDLE;
		}
	}
}

/* Does one step on a worker. Returns false if there is none. */
static bool work_step(struct watch_source *source)
{
	if (watch_tree_collect(source, COLLECT_NODES))
		return true;
	if (source->scan.tree) {
		watch_scan_step(source);
		return true;
	}
	if (begin_look_now(source) || begin_look_all(source))
		return true;
	if (has_raw(source)) {
		apply_next(source);
		/* A directory's watch must be in place before its CREATE leaves the source. */
		begin_look_now(source);
		return true;
	}
	return read_queue(source) > 0 || when_quiet(source);
}

/* Returns the time that a worker may keep the source. */
static unsigned slice_ms(const struct watch_source *source)
{
	const struct watch_tree *tree;

	TAILQ_FOREACH (tree, &source->trees, link)
		if (tree->state == WATCH_TREE_LIVE)
			return WATCH_DRIVE_SLICE_MS;
	return WATCH_DRIVE_START_MS;
}

static enum watch_drive drive_on_worker(struct watch_source *source)
{
	uint64_t until_ms = clock_monotonic_ms() + slice_ms(source);
	enum watch_drive result = WATCH_DRIVE_MORE;
	unsigned steps = 0;

	if (!source->scan.tree)
		begin_look_now(source);
	while (source->n_outputs < source->drive_events) {
		if (!work_step(source)) {
			result = WATCH_DRIVE_IDLE;
			break;
		}
		if (++steps % STEPS_PER_LOOK != 0)
			continue;
		if (source->scan.tree)
			read_ahead(source);
		if (clock_monotonic_ms() >= until_ms)
			break;
	}
	thread_leave_dir();
	return result;
}

enum watch_drive watch_source_drive(struct watch_source *source, bool on_worker)
{
	enum watch_drive result = on_worker ? drive_on_worker(source) : drive_on_loop(source);

	if (!has_raw(source)) {
		free(source->raw);
		source->raw = NULL;
		source->raw_begin = source->raw_end = source->raw_capacity = 0;
	}
	return result;
}

int64_t watch_source_due_ms(const struct watch_source *source, uint64_t now_ms)
{
	const struct watch_pending_move *move = TAILQ_FIRST(&source->moves);
	uint64_t due_ms = UINT64_MAX;

	if (move)
		due_ms = move->quiet_ms + WATCH_MOVE_WAIT_MS;
	if (source->overflowed && source->relist_ms < due_ms)
		due_ms = source->relist_ms;
	if (source->n_poll > 0 && source->poll_ms < due_ms)
		due_ms = source->poll_ms;
	if (due_ms == UINT64_MAX)
		return -1;
	return due_ms > now_ms ? (int64_t)(due_ms - now_ms) : 0;
}
