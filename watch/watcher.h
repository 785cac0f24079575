/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A watcher: one client's view of a watched directory. It is a WatchDir stream, or was made by
 * CreateWatcher and is asked for its events ("polled").
 */
#ifndef WATCH_WATCHER_H
#define WATCH_WATCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/loop.h"
#include "watch/queue.h"

struct rpc_call;
struct watch_event;
struct watch_options;
struct watch_patterns;
struct watch_root;
struct watch_service;

/* When this much waits for the client of a stream, its feed need not read the kernel's queue. */
#define WATCHER_ENOUGH_EVENTS 4096
#define WATCHER_ENOUGH_BYTES  (1024u * 1024)

/* A polled watcher whose queue has dropped events ends if nobody asks it for this long. */
#define WATCHER_EXPIRES_MS (10u * 60 * 1000)

/*
 * An id is "w" and so many hexadecimal digits, from the kernel's random numbers. One that a daemon
 * before this one gave out may have any form, and less than WATCHER_ID_BYTES.
 */
#define WATCHER_ID_DIGITS 32
#define WATCHER_ID_BYTES  64

enum watcher_state {
	WATCHER_OPENING, /* a worker looks for the directory */
	WATCHER_JOINING, /* the directory is being watched */
	WATCHER_LIVE,	 /* START or the id was sent, or waits to be */
};

struct watcher {
	struct watch_service *service;
	enum watcher_state state; /* written by watcher_set_state */
	bool polled;		  /* made by CreateWatcher */
	bool recursive;
	bool want_entry;
	bool full;		     /* the stream takes nothing until `writable` */
	struct watch_patterns *only; /* paths that are sent; NULL: all; owned */
	char *options;		     /* the header that chose them; owned; NULL: none */
	/* The stream; or CreateWatcher until it is answered; NULL also for one that is adopted. */
	struct rpc_call *call;
	struct watch_queue queue;
	struct timer expires; /* of a polled one: WATCHER_EXPIRES_MS */
	char *path;	      /* as the client named it, cleaned: paths of entries begin with it */

	struct watch_root *root; /* NULL: none */
	TAILQ_ENTRY(watcher) link;
	bool marked;	     /* mark_bytes is set */
	uint64_t mark_bytes; /* live when the source has applied the kernel's events up to here */

	char id[WATCHER_ID_BYTES];
	LIST_ENTRY(watcher) by_id; /* of a polled one that is live */
};

/*
 * Makes a watcher for the call, whose data it becomes; NULL: for none. Returns NULL if
 * BUDGET_WATCHERS has no room; the call, if there is one, has failed then.
 */
struct watcher *watcher_new(struct watch_service *service, struct rpc_call *call, bool polled);

/* Leaves the root, and frees the watcher. Its call goes on without it. */
void watcher_free(struct watcher *w);

void watcher_set_state(struct watcher *w, enum watcher_state state);

/* Ends the watcher and its call with the error of a system call (-errno). */
void watcher_fail(struct watcher *w, int error);

/* The watch is in place: sends START, or the id. */
void watcher_start(struct watcher *w);

/* Copies what the client asked for, before the watcher joins a root. */
void watcher_set_options(struct watcher *w, const struct watch_options *options);

/* Sends the event, or queues it. Borrows it. */
void watcher_event(struct watcher *w, struct watch_event *event);

/* The client asks for the events of a polled watcher. */
void watcher_asked(struct watcher *w);

/* Whether the watcher takes no more for now. */
bool watcher_has_enough(const struct watcher *w);

/* `writable` and `keepalive` of the stream. */
void watcher_writable(struct watcher *w);
void watcher_keepalive(struct watcher *w);

#endif
