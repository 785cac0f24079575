#include "watch/feed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "watch/engine/event.h"
#include "watch/engine/mounts.h"
#include "watch/engine/source.h"
#include "watch/watcher.h"

static void feed_update(struct watch_feed *feed);

static void feed_set_state(struct watch_feed *feed, enum feed_state state)
{
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

/* Whether the root is what the wish asks for. One that fails or is gone is left alone. */
static bool root_serves(const struct watch_root *root, const struct watch_wish *wish)
{
	const struct watch_tree *tree = root->tree;

	return tree->dev == wish->dev && tree->ino == wish->ino &&
	       tree->recursive == wish->recursive && tree->network == wish->network &&
	       strcmp(tree->path, wish->path) == 0 && same_patterns(root->ignored, wish->ignored);
}

static struct watch_root *root_new(struct watch_feed *feed, const struct watch_wish *wish)
{
	struct watch_root *root = mem_zalloc(sizeof(*root));

	root->feed = feed;
	root->ignored = watch_patterns_copy(wish->ignored);
	root->tree = watch_tree_new(wish->path, wish->dev, wish->ino);
	root->tree->recursive = wish->recursive;
	root->tree->network = wish->network;
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
		/* Its nodes are still there, but nothing is matched against the patterns. */
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

/* Every watcher of a root that can't be watched, or is gone before its watch was in place. */
static void root_fail(struct watch_root *root, int error)
{
	struct watcher *w, *next;

	for (w = TAILQ_FIRST(&root->watchers); w; w = next) {
		next = TAILQ_NEXT(w, link);
		if (w->state == WATCHER_JOINING)
			watcher_fail(w, error);
	}
}

/* Lets those become live for whom everything is in place. */
static void root_start_watchers(struct watch_root *root)
{
	struct watch_source *source = root->feed->source;
	struct watch_tree *tree = root->tree;
	struct watcher *w, *next;

	if (tree->starting)
		return;
	if (tree->start_error || tree->gone) {
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
		tree->silent = false;
		watcher_start(w);
	}
}

/* What the tree does for its watchers, of which each may want something else. */
static void root_update_tree(struct watch_root *root)
{
	const struct watcher *w;

	root->tree->want_entries = root->tree->want_moves = false;
	TAILQ_FOREACH (w, &root->watchers, link) {
		root->tree->want_entries |= w->want_entry;
		root->tree->want_moves |= w->pairs;
	}
}

static void root_deliver(struct watch_root *root, const struct watch_output *output)
{
	struct watcher *w;

	if (output->kind == WATCH_OUTPUT_EVENT)
		output->event->number = ++root->feed->feeds->n_events;
	TAILQ_FOREACH (w, &root->watchers, link) {
		if (w->state != WATCHER_LIVE)
			continue;
		if (output->kind == WATCH_OUTPUT_EVENT)
			watcher_event(w, output->event, output->first);
		else
			watcher_resolved(w);
	}
}

/* ---- a feed ---- */

/* What came of a drive goes to the watchers. */
static void feed_deliver(struct watch_feed *feed)
{
	struct watch_source *source = feed->source;
	struct watch_output *output;
	size_t i;

	for (i = 0; i < source->n_outputs; i++) {
		output = &source->outputs[i];
		watch_output_resolve(output);
		root_deliver(output->tree->user, output);
		watch_event_unref(output->event);
		watch_event_unref(output->first);
	}
	feed->burst += (unsigned)source->n_outputs;
	source->n_outputs = 0;
}

/* Applies what was asked for while the source was lent. */
static void feed_settle_roots(struct watch_feed *feed)
{
	struct watch_root *root, *next;

	for (root = TAILQ_FIRST(&feed->roots); root; root = next) {
		next = TAILQ_NEXT(root, link);
		if (root->n_watchers == 0) {
			/* The last one's trees go with the source, at once. */
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

/* Whether a watcher is there, and whether none of them can take more. */
static bool feed_is_watched(const struct watch_feed *feed)
{
	const struct watch_root *root;

	TAILQ_FOREACH (root, &feed->roots, link)
		if (root->n_watchers > 0)
			return true;
	return false;
}

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
	event_del(&feed->readable);
	timer_cancel(&feed->due);
	defer_cancel(&feed->turn);
}

static void work_run(struct work *work)
{
	struct watch_feed *feed = container_of(work, struct watch_feed, work);

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
	free(container_of(work, struct watch_feed, work));
}

/* Nobody watches any more: the source goes, which the kernel may take its time for. */
static void feed_close(struct watch_feed *feed)
{
	struct watch_feeds *feeds = feed->feeds;
	struct watch_root *root;

	feed_set_state(feed, FEED_CLOSING);
	feed_stop_waiting(feed);
	while ((root = TAILQ_FIRST(&feed->roots))) {
		TAILQ_REMOVE(&feed->roots, root, link);
		/* An added tree belongs to the source. */
		if (root->added)
			root->tree->ignored = NULL;
		else
			watch_tree_free(root->tree);
		watch_patterns_free(root->ignored);
		free(root);
	}
	TAILQ_REMOVE(&feeds->list, feed, link);
	feeds->n--;
	feed->work.run = close_run;
	feed->work.done = close_done;
	work_submit(feeds->workers, &feed->work);
}

/* Whether events come so fast that they had better be read together. */
static bool feed_is_burst(struct watch_feed *feed, uint64_t now_ms)
{
	if (now_ms - feed->burst_began_ms < FEED_BURST_WINDOW_MS)
		return feed->burst >= FEED_BURST_EVENTS;
	feed->burst_began_ms = now_ms;
	feed->burst = 0;
	return false;
}

/* Waits for the kernel, or for what the source does by the clock. */
static void feed_wait(struct watch_feed *feed)
{
	uint64_t now_ms = clock_monotonic_ms();
	int64_t due_ms = watch_source_due_ms(feed->source, now_ms);

	feed_set_state(feed, FEED_WAITING);
	if (feed_is_burst(feed, now_ms))
		due_ms = FEED_BURST_PAUSE_MS;
	else
		event_add(&feed->readable, NULL);
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
 * Drives the source as far as that goes on the loop, and turns what is left to do into the feed's
 * next state. Whoever changes anything calls it; while the source is lent, its return does.
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
		watch_source_rest(feed->source);
		feed_deliver(feed);
		return;
	}
	result = watch_source_drive(feed->source, false);
	if (result == WATCH_DRIVE_WORK) {
		/* A new directory is told when it is watched: clients may look there at once. */
		feed_lend(feed);
		return;
	}
	feed_deliver(feed);
	feed_settle_roots(feed);
	if (result == WATCH_DRIVE_MORE) {
		feed_set_state(feed, FEED_RUNNING);
		defer_schedule(&feed->turn);
	} else {
		feed_wait(feed);
	}
}

static void on_turn(void *arg)
{
	feed_update(arg);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
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
}

void watch_feeds_clear(struct watch_feeds *feeds)
{
	struct watch_feed *feed;

	while ((feed = TAILQ_FIRST(&feeds->list))) {
		TAILQ_REMOVE(&feeds->list, feed, link);
		feed_stop_waiting(feed);
		watch_source_free(feed->source);
		free(feed);
	}
	watch_mounts_free(feeds->mounts);
}

/* A feed with an inotify instance of its own. 0 or -errno. */
static int feed_new(struct watch_feeds *feeds, bool network, struct watch_feed **ret)
{
	struct watch_source *source;
	struct watch_feed *feed;
	int r = watch_source_new(&feeds->memory, feeds->mounts, feeds->users, &source);

	if (r < 0)
		return r;
	feed = mem_zalloc(sizeof(*feed));
	feed->feeds = feeds;
	feed->source = source;
	feed->network = network;
	feed->state = FEED_RUNNING;
	TAILQ_INIT(&feed->roots);
	event_assign(&feed->readable, feeds->loop->base, source->fd, EV_READ | EV_PERSIST,
		     on_readable, feed);
	timer_init(&feed->due, feeds->loop, on_turn, feed);
	defer_init(&feed->turn, feeds->loop, on_turn, feed);
	TAILQ_INSERT_TAIL(&feeds->list, feed, link);
	feeds->n++;
	*ret = feed;
	return 0;
}

/* The feed with the fewest roots, where there is no instance for another. */
static struct watch_feed *find_shared(struct watch_feeds *feeds, bool network)
{
	struct watch_feed *feed, *best = NULL;

	TAILQ_FOREACH (feed, &feeds->list, link)
		if (feed->network == network && (!best || feed->n_roots < best->n_roots))
			best = feed;
	return best;
}

/* The root that serves the wish, or NULL with the feed that watches the same directory, if any. */
static struct watch_root *find_root(struct watch_feeds *feeds, const struct watch_wish *wish,
				    struct watch_feed **ret_feed)
{
	struct watch_feed *feed;
	struct watch_root *root;

	*ret_feed = NULL;
	TAILQ_FOREACH (feed, &feeds->list, link) {
		if (feed->network != wish->network)
			continue;
		TAILQ_FOREACH (root, &feed->roots, link) {
			if (root->tree->dev != wish->dev || root->tree->ino != wish->ino)
				continue;
			*ret_feed = feed;
			if (root_serves(root, wish) && root->n_watchers > 0 &&
			    (feed->state == FEED_LENT ||
			     (!root->tree->gone && !root->tree->start_error)))
				return root;
		}
	}
	return NULL;
}

int watch_feeds_join(struct watch_feeds *feeds, const struct watch_wish *wish,
		     struct watcher *watcher)
{
	struct watch_feed *feed;
	struct watch_root *root = find_root(feeds, wish, &feed);
	int r = -EMFILE;

	if (!root) {
		if (!feed && feeds->n < WATCH_INSTANCES_MAX)
			r = feed_new(feeds, wish->network, &feed);
		if (!feed)
			feed = find_shared(feeds, wish->network);
		if (!feed)
			return r;
		root = root_new(feed, wish);
	}
	watcher->root = root;
	TAILQ_INSERT_TAIL(&root->watchers, watcher, link);
	root->n_watchers++;
	root->n_joining++;
	watch_feed_resume(root->feed);
	return 0;
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
	static const char *const states[] = {
		[FEED_WAITING] = "waiting", [FEED_RUNNING] = "running", [FEED_LENT] = "at work",
		[FEED_RESTING] = "resting", [FEED_CLOSING] = "closing",
	};
	const struct watch_feed *feed;
	const struct watch_root *root;

	log_info("watches: %zu inotify instances, %zu bytes of memory for trees", feeds->n,
		 (size_t)feeds->memory.used_bytes);
	TAILQ_FOREACH (feed, &feeds->list, link) {
		TAILQ_FOREACH (root, &feed->roots, link)
			log_info("watch of %s: %s, %s, %zu watchers, %zu of them joining",
				 root->tree->path, root->tree->recursive ? "recursive" : "flat",
				 states[feed->state], root->n_watchers, root->n_joining);
		if (feed->state != FEED_LENT)
			log_info("instance: %zu roots, %zu directories without a watch, overflows: "
				 "%lu",
				 feed->n_roots, feed->source->n_poll, feed->source->losses);
	}
}
