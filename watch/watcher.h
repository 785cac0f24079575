/*
 * A watcher: a client's view of a watched directory. One is a WatchDir stream, or what
 * CreateWatcher made, whose events wait to be fetched.
 */
#ifndef WATCH_WATCHER_H
#define WATCH_WATCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/loop.h"
#include "watch/glob.h"
#include "watch/queue.h"

struct rpc_call;
struct watch_event;
struct watch_options;
struct watch_root;
struct watch_service;

/* Events that wait for the client of a stream before its feed may rest. */
#define WATCHER_ENOUGH_EVENTS 4096
#define WATCHER_ENOUGH_BYTES  (1024u * 1024)

/* Events are gathered for so many debounce windows at most. */
#define WATCHER_GATHER_TIMES 10

/* "w" and so many hexadecimal digits, from the kernel's random numbers. */
#define WATCHER_ID_DIGITS 32

enum watcher_state {
	WATCHER_OPENING, /* the directory is being looked for */
	WATCHER_JOINING, /* it is being watched */
	WATCHER_LIVE,
};

struct watcher {
	struct watch_service *service;
	enum watcher_state state;
	bool polled; /* made by CreateWatcher */
	bool want_entry;
	bool pairs;		     /* a move inside the tree is one event */
	struct watch_patterns *only; /* what is told; NULL: everything; owned */
	unsigned debounce_ms;	     /* 0: events are sent at once */
	uint64_t gathering_ms;	     /* since when; 0: not */
	struct timer gathered;
	uint64_t first_event;  /* events from this number on are its business */
	struct rpc_call *call; /* the stream; or CreateWatcher until it is answered */
	bool full;	       /* the stream, until `writable` */
	struct watch_queue queue;
	char *path; /* as the client named it, cleaned: entries' paths begin so */

	struct watch_root *root; /* NULL: none */
	TAILQ_ENTRY(watcher) link;
	bool marked;	     /* the next is known */
	uint64_t mark_bytes; /* it is live when the source has applied so many */

	char id[WATCHER_ID_DIGITS + 2];
	LIST_ENTRY(watcher) by_id; /* of a polled one that is live */
};

/*
 * A watcher for this call, of which it becomes the data. NULL where the daemon's budget has no
 * room: the call has failed then.
 */
struct watcher *watcher_new(struct watch_service *service, struct rpc_call *call, bool polled);

/* Leaves its root and frees it; its call goes on without it. */
void watcher_free(struct watcher *w);

/* Ends it and its call with an error. */
void watcher_fail(struct watcher *w, int error);

/* The watch is in place. */
void watcher_start(struct watcher *w);

/* Copies what the client asked for. Before it joins. */
void watcher_set_options(struct watcher *w, const struct watch_options *options);

/* Something happened; `first` is the RENAME that it is the other half of. Borrows both. */
void watcher_event(struct watcher *w, struct watch_event *event, const struct watch_event *first);

/* It is known what has become of a RENAME whose other half was waited for. */
void watcher_resolved(struct watcher *w);

/* How many of the waiting events can be told: one whose other half may come holds up the rest. */
uint32_t watcher_ready(const struct watcher *w);

/* Whether the client wants to know of the event. */
bool watcher_wants(const struct watcher *w, const struct watch_event *event);

/* Whether it can take no more for now. */
bool watcher_has_enough(const struct watcher *w);

/* `writable` and `keepalive` of the stream. */
void watcher_writable(struct watcher *w);
void watcher_keepalive(struct watcher *w);

#endif
