/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds: the sources of events on the loop, and which watchers get the events.
 *
 * A feed has one source (watch/engine/source.h). The loop owns the source, or has lent it to a
 * worker while directories must be looked at; the loop never waits for the worker.
 *
 * A root is a tree of the source together with all watchers that asked for the same: a directory
 * that many clients watch costs one inotify watch, and one reading after an overflow. Roots of one
 * directory share a feed. Others have feeds of their own while there are inotify instances.
 *
 * A watcher that joins becomes live when its tree is watched, and every event that was in the
 * kernel's queue before was applied: earlier events are not for it.
 *
 * A feed none of whose watchers takes more rests. The kernel keeps the events until its queue
 * overflows, which is answered like any overflow.
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
#include "watch/entry.h"

struct user_db;
struct watch_mounts;
struct watch_patterns;
struct watch_source;
struct watch_tree;
struct watcher;

/*
 * After FEED_BURST_EVENTS events in FEED_BURST_WINDOW_MS the feed pauses before it reads the
 * kernel's queue again: many events then leave in one write, and whoever makes them is not held up
 * by our wakes. A client that waits for the event of each of its writes makes nothing during a
 * pause. So after a pause that brought fewer than FEED_PAUSE_WORTH_EVENTS, none follows for
 * FEED_PAUSE_RETRY_MS.
 */
#define FEED_BURST_EVENTS	64
#define FEED_BURST_WINDOW_MS	10
#define FEED_PAUSE_MS		2
#define FEED_PAUSE_WORTH_EVENTS 16
#define FEED_PAUSE_RETRY_MS	500

/*
 * Events go to all watchers of a root in one turn of the loop. So a drive emits the fewer events
 * the more watchers there are, or everything else in the daemon would wait.
 */
#define FEED_SENDS_PER_TURN 4096

TAILQ_HEAD(watcher_list, watcher);

enum feed_state {
	FEED_RUNNING, /* goes on in the loop's next turn */
	FEED_WAITING, /* for the kernel, or a timer */
	FEED_LENT,    /* a worker owns the source */
	FEED_RESTING, /* no watcher takes more */
	FEED_CLOSING, /* a worker frees the source */
};

struct watch_feed {
	TAILQ_ENTRY(watch_feed) link;
	struct watch_feeds *feeds;
	struct watch_source *source;
	struct watch_entry_reader entries; /* the source's owner uses it */
	enum feed_state state;		   /* written by feed_set_state */
	bool network;			   /* its trees go into network file systems */
	TAILQ_HEAD(, watch_root) roots;
	size_t n_roots;
	unsigned events;	  /* delivered since the feed last began to wait */
	uint64_t window_began_ms; /* since when window_events counts */
	unsigned window_events;
	bool paused; /* it waits for the end of a pause, not for the kernel */
	uint64_t pause_not_before_ms;
	int readable_fd; /* that `readable` waits for; -1: none */
	struct event readable;
	struct timer due;
	struct defer turn;
	struct work work;
};

/* What a watcher subscribes to. */
struct watch_subscription {
	const char *path; /* absolute, without symbolic links */
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
	TAILQ_HEAD(, watch_feed) list;
	size_t n;
	int spare_fd; /* an inotify instance for a time when the user has none left; -1: none */
};

/* Borrows the loop, the workers and the users. */
void watch_feeds_init(struct watch_feeds *feeds, struct loop *loop, struct workers *workers,
		      struct user_db *users);

/* Frees the feeds. There are no watchers any more, and no source is lent. */
void watch_feeds_clear(struct watch_feeds *feeds);

/*
 * Has the watcher join the root of the subscription, which is copied. watcher_start or watcher_fail
 * follows, from the loop.
 */
void watch_feeds_join(struct watch_feeds *feeds, const struct watch_subscription *subscription,
		      struct watcher *watcher);

/* The watcher leaves its root. */
void watch_feed_leave(struct watcher *watcher);

/* A watcher of the feed takes more again. */
void watch_feed_resume(struct watch_feed *feed);

/* Writes every feed to the log. */
void watch_feeds_dump(const struct watch_feeds *feeds);

#endif
