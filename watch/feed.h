/*
 * Feeds: sources of events on the loop, and who gets what comes of them.
 *
 * A feed is one source (watch/engine/source.h). It belongs to the loop, or is lent to a worker while
 * directories must be looked at; the loop never waits for it. One watched directory is one root:
 * a tree of the source with all watchers that asked for the same of it, so that a directory that
 * many watch costs one watch in the kernel, and its loss of events one rescan. Roots at the same
 * directory share a feed; others have feeds of their own as long as there are inotify instances.
 *
 * A watcher that joins becomes live when its tree is watched and every event that was in the
 * kernel's queue before has been applied: what happened earlier is not its business.
 *
 * A feed whose watchers can all take no more rests: the kernel keeps what happens until its queue
 * runs over, which is answered by telling the differences, as any loss.
 */
#ifndef WATCH_FEED_H
#define WATCH_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/loop.h"
#include "base/work.h"
#include "watch/engine/memory.h"
#include "watch/engine/tree.h"
#include "watch/glob.h"

struct user_db;
struct watch_source;
struct watcher;

/*
 * When events come in so quick a succession, the queue is read every now and then instead of at
 * each of them: whoever makes them is not held up by our waking, and clients get many in one write.
 */
#define FEED_BURST_EVENTS    64
#define FEED_BURST_WINDOW_MS 10
#define FEED_BURST_PAUSE_MS  2

TAILQ_HEAD(watcher_list, watcher);

enum feed_state {
	FEED_WAITING, /* for the kernel, or a timer */
	FEED_RUNNING, /* goes on in the loop's next turn */
	FEED_LENT,    /* a worker owns the source */
	FEED_RESTING, /* no watcher can take more */
	FEED_CLOSING, /* a worker frees the source */
};

struct watch_feed {
	TAILQ_ENTRY(watch_feed) link;
	struct watch_feeds *feeds;
	struct watch_source *source;
	enum feed_state state;
	bool network; /* of trees that go into network file systems */
	TAILQ_HEAD(, watch_root) roots;
	size_t n_roots;
	uint64_t burst_began_ms; /* since when `burst` counts events */
	unsigned burst;
	struct event readable;
	struct timer due;
	struct defer turn;
	struct work work;
};

/* What a watcher wants to watch. */
struct watch_wish {
	const char *path; /* absolute, without links */
	dev_t dev;
	ino_t ino;
	bool recursive;
	bool network;
	const struct watch_patterns *ignored; /* NULL: none */
};

/* A tree and its watchers. */
struct watch_root {
	TAILQ_ENTRY(watch_root) link;
	struct watch_feed *feed;
	struct watch_tree *tree;
	bool added; /* the source has the tree */
	struct watch_patterns *ignored;
	struct watcher_list watchers;
	size_t n_watchers;
	size_t n_joining;
};

/* All feeds. */
struct watch_feeds {
	struct loop *loop;
	struct workers *workers;
	struct user_db *users;
	struct watch_mounts *mounts;
	struct watch_memory memory;
	uint64_t n_events; /* delivered */
	TAILQ_HEAD(, watch_feed) list;
	size_t n;
};

/* Borrows the first three. */
void watch_feeds_init(struct watch_feeds *feeds, struct loop *loop, struct workers *workers,
		      struct user_db *users);

/* Frees what is not lent; there are no watchers any more. */
void watch_feeds_clear(struct watch_feeds *feeds);

/*
 * Has the watcher join the root that is wished for; copies the wish. watcher_start or watcher_fail
 * follows, from the loop. 0, or -errno: -EMFILE where there is no inotify instance at all.
 */
int watch_feeds_join(struct watch_feeds *feeds, const struct watch_wish *wish,
		     struct watcher *watcher);

/* The watcher leaves its root. */
void watch_feed_leave(struct watcher *watcher);

/* The watcher can take more again. */
void watch_feed_resume(struct watch_feed *feed);

/* Writes every feed to the log. */
void watch_feeds_dump(const struct watch_feeds *feeds);

#endif
