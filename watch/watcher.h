/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A watcher: one client's view of a watched directory. It serves a WatchDir stream; or it was
 * created by CreateWatcher, and the client fetches its events ("polled").
 */
#ifndef WATCH_WATCHER_H
#define WATCH_WATCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/loop.h"
#include "rpc/call.h"
#include "watch/queue.h"

struct watch_event;
struct watch_options;
struct watch_patterns;
struct watch_root;
struct watch_service;

/*
 * If more than this waits for the client of a stream, the watcher accepts no more events, and its
 * feed may stop reading the kernel's queue.
 */
#define WATCHER_ENOUGH_EVENTS 4096
#define WATCHER_ENOUGH_BYTES  (1024u * 1024)

/*
 * A polled watcher whose queue has dropped events is freed if no client fetches its events for this
 * time.
 */
#define WATCHER_EXPIRES_MS (10u * 60 * 1000)

/*
 * An id is "w" and WATCHER_ID_DIGITS hexadecimal digits of a random number from the kernel. An id
 * from an earlier daemon may have any form and fewer than WATCHER_ID_BYTES bytes.
 */
#define WATCHER_ID_DIGITS 32
#define WATCHER_ID_BYTES  64

enum watcher_state {
	WATCHER_OPENING, /* a worker looks up the directory */
	WATCHER_JOINING, /* the directory is being watched */
	WATCHER_LIVE,	 /* START or the id was sent, or is queued */
};

struct watcher {
	struct watch_service *service;
	enum watcher_state state; /* written by watcher_set_state */
	bool polled;		  /* made by CreateWatcher */
	bool recursive;
	bool want_entry;
	bool full;		     /* the stream accepts no event until `writable` */
	struct watch_patterns *only; /* patterns of paths to send; NULL: all; owned */
	char *options;		     /* text of the header with `only`; owned; NULL: none */
	/* The WatchDir call; or CreateWatcher until it is answered; NULL for an adopted watcher. */
	struct rpc_call *call;
	struct watch_queue queue;
	struct timer expires; /* of a polled watcher: WATCHER_EXPIRES_MS */
	char *path;	      /* as the client named it, cleaned: paths of entries begin with it */

	struct watch_root *root; /* NULL: none */
	TAILQ_ENTRY(watcher) link;
	bool marked;	     /* mark_bytes is set */
	uint64_t mark_bytes; /* the watcher becomes live when events up to here are applied */

	char id[WATCHER_ID_BYTES];
	LIST_ENTRY(watcher) by_id; /* of a live polled watcher */
};

/*
 * Creates a watcher and makes it the call's data; `call` may be NULL. Returns NULL if
 * BUDGET_WATCHERS has no room; then the call has failed.
 */
struct watcher *watcher_new(struct watch_service *service, struct rpc_call *call, bool polled);

/* Removes the watcher from its root and frees it. Does not end its call. */
void watcher_free(struct watcher *w);

void watcher_set_state(struct watcher *w, enum watcher_state state);

/* Ends the watcher and its call with the error of a system call (-errno). */
void watcher_fail(struct watcher *w, int error);

/* Sends START or the id. Call it when the watch is in place. */
void watcher_start(struct watcher *w);

/* Copies the options. Call it before the watcher joins a root. */
void watcher_set_options(struct watcher *w, const struct watch_options *options);

/*
 * Sends the event, or queues it. Borrows it. `frames` has the event's message by encoding, for all
 * watchers that get the event in the same turn; the first watcher of an encoding fills it in, and
 * the caller frees the frames.
 */
void watcher_event(struct watcher *w, struct watch_event *event,
		   struct rpc_frame *frames[RPC_ENCODINGS]);

/* Call it when the client fetches the events of a polled watcher: restarts the expiry timer. */
void watcher_asked(struct watcher *w);

/* Returns true if the watcher accepts no more events at present. */
bool watcher_has_enough(const struct watcher *w);

/* The callbacks `writable` and `keepalive` of the stream. */
void watcher_writable(struct watcher *w);
void watcher_keepalive(struct watcher *w);

#endif
