/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/feed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "watch/engine/event.h"
#include "watch/engine/glob.h"
#include "watch/engine/mounts.h"
#include "watch/engine/source.h"
#include "watch/watcher.h"

static void feed_update(struct watch_feed *feed);

static const char *const state_names[] = {
	[FEED_RUNNING] = "running", [FEED_WAITING] = "waiting", [FEED_LENT] = "lent",
	[FEED_RESTING] = "resting", [FEED_CLOSING] = "closing",
};

static void feed_set_state(struct watch_feed *feed, enum feed_state state)
{
	if (feed->state == state)
		return;
	log_debug("watch feed %p: %s -> %s", (void *)feed, state_names[feed->state],
		  state_names[state]);
	feed->state = state;
}

/* ---- roots ---- */

static bool same_patterns(const struct watch_patterns *a, const struct watch_patterns *b)
{
	size_t i, n = a ? a->n : 0;

	if (n != (b ? b->n : 0))
		return false;
	for (i = 0; i < n; i++)
		if (strcmp(a->text[i], b->text[i]) != 0)
			return false;
	return true;
}

/* Returns true if the root matches the subscription. */
static bool root_serves(const struct watch_root *root, const struct watch_subscription *s)
{
	const struct watch_tree *tree = root->tree;

	return tree->dev == s->dev && tree->ino == s->ino && tree->recursive == s->recursive &&
	       tree->network == s->network && strcmp(tree->path, s->path) == 0 &&
	       same_patterns(root->ignored, s->ignored);
}

static struct watch_root *root_new(struct watch_feed *feed, const struct watch_subscription *s)
{
	struct watch_root *root = mem_zalloc(sizeof(*root));

	root->feed = feed;
	root->ignored = watch_patterns_copy(s->ignored);
	root->tree = watch_tree_new(s->path, s->dev, s->ino);
	root->tree->recursive = s->recursive;
	root->tree->network = s->network;
	root->tree->ignored = root->ignored;
	root->tree->user = root;
	TAILQ_INIT(&root->watchers);
	TAILQ_INSERT_TAIL(&feed->roots, root, link);
	feed->n_roots++;
	return root;
}

/* Frees a root without watchers. The feed is not lent. */
static void root_free(struct watch_root *root)
{
	struct watch_feed *feed = root->feed;

	if (root->added) {
		/* Nodes that are still to be freed do not use the patterns. */
		root->tree->ignored = NULL;
		watch_source_remove(feed->source, root->tree);
	} else {
		watch_tree_free(root->tree);
	}
	TAILQ_REMOVE(&feed->roots, root, link);
	feed->n_roots--;
	watch_patterns_free(root->ignored);
	free(root);
}

/*
 * Fails the watchers of a root that can't be watched, or that vanished before its watch was in
 * place.
 */
static void root_fail(struct watch_root *root, int error)
{
	struct watcher *w, *next;

	for (w = TAILQ_FIRST(&root->watchers); w; w = next) {
		next = TAILQ_NEXT(w, link);
		if (w->state == WATCHER_JOINING)
			watcher_fail(w, error);
	}
}

/* Makes the watchers live whose tree is watched and whose earlier events are applied. */
static void root_start_watchers(struct watch_root *root)
{
	struct watch_source *source = root->feed->source;
	struct watch_tree *tree = root->tree;
	struct watcher *w, *next;

	if (tree->state == WATCH_TREE_STARTING)
		return;
	if (tree->start_error || tree->state == WATCH_TREE_GONE) {
		root_fail(root, tree->start_error ? tree->start_error : -ENOENT);
		return;
	}
	for (w = TAILQ_FIRST(&root->watchers); w; w = next) {
		next = TAILQ_NEXT(w, link);
		if (w->state != WATCHER_JOINING)
			continue;
		if (!w->marked) {
			w->marked = true;
			w->mark_bytes = watch_source_queued_bytes(source);
		}
		if (watch_source_applied_bytes(source) < w->mark_bytes ||
		    watch_source_is_looking(source))
			continue;
		root->n_joining--;
		watch_tree_set_state(tree, WATCH_TREE_LIVE);
		watcher_start(w);
	}
}

/* The tree reads entries if one of its watchers wants them. */
static void root_update_tree(struct watch_root *root)
{
	const struct watcher *w;

	root->tree->want_entries = false;
	TAILQ_FOREACH (w, &root->watchers, link)
		root->tree->want_entries |= w->want_entry;
}

/* ---- a feed ---- */

/* Passes the events of a drive to the watchers. */
static void feed_deliver(struct watch_feed *feed)
{
	struct watch_source *source = feed->source;
	struct rpc_frame *frames[RPC_ENCODINGS];
	struct watch_output *output;
	struct watch_root *root;
	unsigned encoding;
	struct watcher *w;
	size_t i;

	for (i = 0; i < source->n_outputs; i++) {
		output = &source->outputs[i];
		root = output->tree->user;
		memset(frames, 0, sizeof(frames));
		TAILQ_FOREACH (w, &root->watchers, link)
			if (w->state == WATCHER_LIVE)
				watcher_event(w, output->event, frames);
		for (encoding = 0; encoding < RPC_ENCODINGS; encoding++)
			rpc_frame_unref(frames[encoding]);
		watch_event_unref(output->event);
	}
	feed->events += (unsigned)source->n_outputs;
	source->n_outputs = 0;
}

/* Bounds the events of a drive by the number of watchers that get them. */
static void feed_limit_drive(struct watch_feed *feed)
{
	const struct watch_root *root;
	size_t most = 1, events;

	TAILQ_FOREACH (root, &feed->roots, link)
		if (root->n_watchers > most)
			most = root->n_watchers;
	events = FEED_SENDS_PER_TURN / most;
	if (events < 1)
		events = 1;
	feed->source->drive_events = events < WATCH_DRIVE_EVENTS ? events : WATCH_DRIVE_EVENTS;
}

/* Adds and removes roots that changed while the source was lent. */
static void feed_settle_roots(struct watch_feed *feed)
{
	struct watch_root *root, *next;

	for (root = TAILQ_FIRST(&feed->roots); root; root = next) {
		next = TAILQ_NEXT(root, link);
		if (root->n_watchers == 0) {
			/* The source frees the tree of the last root. */
			if (feed->n_roots > 1 || !root->added)
				root_free(root);
			continue;
		}
		root_update_tree(root);
		if (!root->added) {
			root->added = true;
			watch_source_add(feed->source, root->tree);
		}
		if (root->n_joining > 0)
			root_start_watchers(root);
	}
}

static bool feed_is_watched(const struct watch_feed *feed)
{
	const struct watch_root *root;

	TAILQ_FOREACH (root, &feed->roots, link)
		if (root->n_watchers > 0)
			return true;
	return false;
}

/* Returns true if no watcher accepts more events. */
static bool feed_may_rest(const struct watch_feed *feed)
{
	const struct watch_root *root;
	const struct watcher *w;

	TAILQ_FOREACH (root, &feed->roots, link)
		TAILQ_FOREACH (w, &root->watchers, link)
			if (!watcher_has_enough(w))
				return false;
	return true;
}

static void feed_stop_waiting(struct watch_feed *feed)
{
	if (feed->readable_fd >= 0)
		fd_event_del(&feed->readable);
	timer_cancel(&feed->due);
	defer_cancel(&feed->turn);
}

static void work_run(struct work *work)
{
	struct watch_feed *feed = container_of(work, struct watch_feed, work);

	watch_entry_reader_renew(&feed->entries);
	watch_source_drive(feed->source, true);
}

static void work_done(struct work *work)
{
	struct watch_feed *feed = container_of(work, struct watch_feed, work);

	feed_set_state(feed, FEED_RUNNING);
	feed_deliver(feed);
	feed_update(feed);
}

static void close_run(struct work *work)
{
	struct watch_feed *feed = container_of(work, struct watch_feed, work);

	watch_source_free(feed->source);
}

static void close_done(struct work *work)
{
	struct watch_feed *feed = container_of(work, struct watch_feed, work);

	watch_entry_reader_clear(&feed->entries);
	free(feed);
}

/* Frees the roots. The trees that were added belong to the source. */
static void feed_free_roots(struct watch_feed *feed)
{
	struct watch_root *root;

	while ((root = TAILQ_FIRST(&feed->roots))) {
		TAILQ_REMOVE(&feed->roots, root, link);
		if (root->added)
			root->tree->ignored = NULL;
		else
			watch_tree_free(root->tree);
		watch_patterns_free(root->ignored);
		free(root);
	}
}

/* Closes a feed without watchers: a worker frees the source. */
static void feed_close(struct watch_feed *feed)
{
	struct watch_feeds *feeds = feed->feeds;

	feed_set_state(feed, FEED_CLOSING);
	feed_stop_waiting(feed);
	feed_free_roots(feed);
	TAILQ_REMOVE(&feeds->list, feed, link);
	feeds->n--;
	feed->work.run = close_run;
	feed->work.done = close_done;
	work_submit(feeds->workers, &feed->work);
}

/* Returns true if the feed should pause because of a burst: see feed.h. */
static bool feed_should_pause(struct watch_feed *feed, uint64_t now_ms)
{
	if (feed->paused && feed->events < FEED_PAUSE_WORTH_EVENTS)
		feed->pause_not_before_ms = now_ms + FEED_PAUSE_RETRY_MS;
	if (now_ms - feed->window_began_ms >= FEED_BURST_WINDOW_MS) {
		feed->window_began_ms = now_ms;
		feed->window_events = 0;
	}
	feed->window_events += feed->events;
	feed->events = 0;
	return feed->window_events >= FEED_BURST_EVENTS && now_ms >= feed->pause_not_before_ms;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	feed_update(arg);
}

/* Waits for the kernel's queue. A source may get its inotify instance later. */
static void feed_wait_readable(struct watch_feed *feed)
{
	if (feed->readable_fd != feed->source->fd) {
		feed->readable_fd = feed->source->fd;
		fd_event_init(&feed->readable, feed->feeds->loop, feed->readable_fd,
			      EV_READ | EV_PERSIST, on_readable, feed);
	}
	if (feed->readable_fd >= 0)
		fd_event_add(&feed->readable);
}

/* Waits for the kernel, or for the time at which the source has something to do. */
static void feed_wait(struct watch_feed *feed)
{
	uint64_t now_ms = clock_monotonic_ms();
	int64_t due_ms = watch_source_due_ms(feed->source, now_ms);

	feed_set_state(feed, FEED_WAITING);
	feed->paused = feed_should_pause(feed, now_ms);
	if (feed->paused)
		due_ms = FEED_PAUSE_MS;
	else
		feed_wait_readable(feed);
	if (due_ms >= 0)
		timer_set_ms(&feed->due, (uint64_t)due_ms);
}

static void feed_lend(struct watch_feed *feed)
{
	feed_set_state(feed, FEED_LENT);
	feed->work.run = work_run;
	feed->work.done = work_done;
	work_submit(feed->feeds->workers, &feed->work);
}

/*
 * Drives the source as far as the loop may, and derives the feed's next state. Every change of the
 * feed calls it. While the source is lent, it does nothing; it is called again when the source
 * returns.
 */
static void feed_update(struct watch_feed *feed)
{
	enum watch_drive result;

	if (feed->state == FEED_LENT || feed->state == FEED_CLOSING)
		return;
	feed_stop_waiting(feed);
	if (!feed_is_watched(feed)) {
		feed_close(feed);
		return;
	}
	feed_settle_roots(feed);
	if (feed_may_rest(feed)) {
		feed_set_state(feed, FEED_RESTING);
		watch_scan_rest(feed->source);
		feed_deliver(feed);
		return;
	}
	feed_limit_drive(feed);
	result = watch_source_drive(feed->source, false);
	if (result == WATCH_DRIVE_WORK) {
		/*
		 * The outputs wait, too: clients may list a new directory as soon as they receive
		 * its event, so the directory is watched first.
		 */
		feed_lend(feed);
		return;
	}
	feed_deliver(feed);
	feed_settle_roots(feed);
	if (result == WATCH_DRIVE_MORE) {
		/*
		 * By a timer, because a deferred call would run before the loop polls its sockets.
		 */
		feed_set_state(feed, FEED_RUNNING);
		timer_set_ms(&feed->due, 0);
	} else {
		feed_wait(feed);
	}
}

static void on_turn(void *arg)
{
	feed_update(arg);
}

/* ---- all feeds ---- */

void watch_feeds_init(struct watch_feeds *feeds, struct loop *loop, struct workers *workers,
		      struct user_db *users)
{
	memset(feeds, 0, sizeof(*feeds));
	feeds->loop = loop;
	feeds->workers = workers;
	feeds->users = users;
	feeds->mounts = watch_mounts_new();
	watch_memory_init(&feeds->memory);
	TAILQ_INIT(&feeds->list);
	feeds->spare_fd = -1;
}

void watch_feeds_clear(struct watch_feeds *feeds)
{
	struct watch_feed *feed;

	while ((feed = TAILQ_FIRST(&feeds->list))) {
		TAILQ_REMOVE(&feeds->list, feed, link);
		feed_stop_waiting(feed);
		feed_free_roots(feed);
		watch_source_free(feed->source);
		watch_entry_reader_clear(&feed->entries);
		free(feed);
	}
	fd_close(&feeds->spare_fd);
	watch_mounts_free(feeds->mounts);
}

/*
 * Returns an inotify instance, or -1 if none is available (EMFILE, or another error). From the
 * first one on, a reserve is kept, because other programs of the user may take all instances.
 */
static int take_instance(struct watch_feeds *feeds)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	if (fd < 0) {
		fd = feeds->spare_fd;
		feeds->spare_fd = -1;
	} else if (feeds->spare_fd < 0) {
		feeds->spare_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	}
	return fd;
}

/* Creates a feed. Takes ownership of the inotify instance; -1: its directories are polled. */
static struct watch_feed *feed_new(struct watch_feeds *feeds, bool network, int fd)
{
	struct watch_feed *feed = mem_zalloc(sizeof(*feed));

	feed->feeds = feeds;
	feed->source = watch_source_new(fd, &feeds->memory, feeds->mounts);
	watch_entry_reader_init(&feed->entries, feeds->users);
	feed->source->read_entry = watch_entry_read;
	feed->source->read_entry_arg = &feed->entries;
	feed->network = network;
	feed->readable_fd = -1;
	TAILQ_INIT(&feed->roots);
	timer_init(&feed->due, feeds->loop, on_turn, feed);
	defer_init(&feed->turn, feeds->loop, on_turn, feed);
	TAILQ_INSERT_TAIL(&feeds->list, feed, link);
	feeds->n++;
	return feed;
}

/*
 * Returns the feed with the fewest roots, or NULL. Used when no instance is available for another
 * feed.
 */
static struct watch_feed *find_shared(struct watch_feeds *feeds, bool network)
{
	struct watch_feed *feed, *best = NULL;

	TAILQ_FOREACH (feed, &feeds->list, link)
		if (feed->network == network && (!best || feed->n_roots < best->n_roots))
			best = feed;
	return best;
}

/*
 * Returns the root that matches the subscription; or NULL, and in *ret_feed the feed of the same
 * directory, if there is one.
 */
static struct watch_root *find_root(struct watch_feeds *feeds, const struct watch_subscription *s,
				    struct watch_feed **ret_feed)
{
	struct watch_feed *feed;
	struct watch_root *root;

	*ret_feed = NULL;
	TAILQ_FOREACH (feed, &feeds->list, link) {
		if (feed->network != s->network)
			continue;
		TAILQ_FOREACH (root, &feed->roots, link) {
			if (root->tree->dev != s->dev || root->tree->ino != s->ino)
				continue;
			*ret_feed = feed;
			if (root_serves(root, s) && root->n_watchers > 0 &&
			    (feed->state == FEED_LENT ||
			     (root->tree->state != WATCH_TREE_GONE && !root->tree->start_error)))
				return root;
		}
	}
	return NULL;
}

void watch_feeds_join(struct watch_feeds *feeds, const struct watch_subscription *s,
		      struct watcher *watcher)
{
	struct watch_feed *feed;
	struct watch_root *root = find_root(feeds, s, &feed);
	int fd = -1;

	if (!root) {
		if (!feed && feeds->n < WATCH_INSTANCES_MAX)
			fd = take_instance(feeds);
		if (!feed && fd < 0)
			feed = find_shared(feeds, s->network);
		if (!feed)
			feed = feed_new(feeds, s->network, fd);
		root = root_new(feed, s);
	}
	watcher->root = root;
	TAILQ_INSERT_TAIL(&root->watchers, watcher, link);
	root->n_watchers++;
	root->n_joining++;
	watch_feed_resume(root->feed);
}

void watch_feed_leave(struct watcher *watcher)
{
	struct watch_root *root = watcher->root;

	TAILQ_REMOVE(&root->watchers, watcher, link);
	root->n_watchers--;
	if (watcher->state == WATCHER_JOINING)
		root->n_joining--;
	watcher->root = NULL;
	watch_feed_resume(root->feed);
}

void watch_feed_resume(struct watch_feed *feed)
{
	if (feed->state != FEED_LENT && feed->state != FEED_CLOSING)
		defer_schedule(&feed->turn);
}

void watch_feeds_dump(const struct watch_feeds *feeds)
{
	const struct watch_feed *feed;
	const struct watch_root *root;

	log_info("watches: %zu inotify instances, %zu bytes of memory for trees", feeds->n,
		 (size_t)feeds->memory.used_bytes);
	TAILQ_FOREACH (feed, &feeds->list, link) {
		TAILQ_FOREACH (root, &feed->roots, link)
			log_info("watch of %s: %s, %s, %zu watchers, %zu of them joining",
				 root->tree->path, root->tree->recursive ? "recursive" : "flat",
				 state_names[feed->state], root->n_watchers, root->n_joining);
		if (feed->state != FEED_LENT)
			log_info("instance: %zu roots, %zu directories without a watch, overflows: "
				 "%lu",
				 feed->n_roots, feed->source->n_poll, feed->source->overflows);
	}
}
