/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds: they run the sources of events on the loop, and distribute the events to watchers.
 *
 * A feed has one source (watch/engine/source.h). The loop owns the source, or lends it to a worker
 * while directories must be read; the loop never waits for the worker.
 *
 * A root is a tree of the source together with all watchers that have the same subscription: a
 * directory that many clients watch costs one inotify watch, and one reading after an overflow.
 * Roots of the same directory share a feed. Other roots get their own feeds while inotify instances
 * are available.
 *
 * A watcher that joins becomes live when its tree is watched and all events that were in the
 * kernel's queue before are applied. It does not get these earlier events.
 *
 * If none of a feed's watchers accepts more events, the feed rests. The kernel keeps the events
 * until its queue overflows, and the feed handles this overflow like any other.
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
 * After FEED_BURST_EVENTS events in FEED_BURST_WINDOW_MS, the feed pauses for FEED_PAUSE_MS before
 * it reads the kernel's queue again. Then many events leave in one write, and the daemon wakes up
 * less often and delays the process that changes the files less. But a client may wait for the
 * event of each change before it makes the next one; then a pause brings no events. Therefore,
 * after a pause that brought fewer than FEED_PAUSE_WORTH_EVENTS, the feed makes no pause for
 * FEED_PAUSE_RETRY_MS.
 */
#define FEED_BURST_EVENTS	64
#define FEED_BURST_WINDOW_MS	10
#define FEED_PAUSE_MS		2
#define FEED_PAUSE_WORTH_EVENTS 16
#define FEED_PAUSE_RETRY_MS	500

/*
 * An event goes to all watchers of a root in one turn of the loop. To bound the time of a turn, a
 * drive emits fewer events if there are more watchers: at most this many sends in a turn.
 */
#define FEED_SENDS_PER_TURN 4096

TAILQ_HEAD(watcher_list, watcher);

enum feed_state {
	FEED_RUNNING, /* continues in the loop's next turn */
	FEED_WAITING, /* waits for the kernel, or a timer */
	FEED_LENT,    /* a worker owns the source */
	FEED_RESTING, /* no watcher accepts more */
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
	uint64_t window_began_ms; /* start of the period that window_events counts */
	unsigned window_events;
	bool paused; /* waits for the end of a pause, not for the kernel */
	uint64_t pause_not_before_ms;
	int readable_fd; /* descriptor of `readable`; -1: none */
	struct fd_event readable;
	struct timer due;
	struct defer turn;
	struct work work;
};

/* The subscription of a watcher. */
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
	int spare_fd; /* reserved inotify instance for when the limit is reached; -1: none */
};

/* Borrows the loop, the workers and the users. */
void watch_feeds_init(struct watch_feeds *feeds, struct loop *loop, struct workers *workers,
		      struct user_db *users);

/* Frees the feeds. Precondition: no watcher exists, and no source is lent. */
void watch_feeds_clear(struct watch_feeds *feeds);

/*
 * Adds the watcher to the root of the subscription, which is copied. Later, watcher_start or
 * watcher_fail is called from the loop.
 */
void watch_feeds_join(struct watch_feeds *feeds, const struct watch_subscription *subscription,
		      struct watcher *watcher);

/* Removes the watcher from its root. */
void watch_feed_leave(struct watcher *watcher);

/* Ends the rest of a feed: one of its watchers accepts events again. */
void watch_feed_resume(struct watch_feed *feed);

/* Writes every feed to the log. */
void watch_feeds_dump(const struct watch_feeds *feeds);

#endif
