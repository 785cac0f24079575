/*
 * What the watch methods share.
 */
#ifndef WATCH_SERVICE_IMPL_H
#define WATCH_SERVICE_IMPL_H

#include <sys/queue.h>

#include "rpc/call.h"
#include "watch/feed.h"
#include "watch/service.h"
#include "watch/watcher.h"

/* A power of two. Ids are random, so that their digits are hash enough. */
#define WATCH_ID_BUCKETS 256

/* Looks at directories that may hang for good can starve only watches. */
#define WATCH_WORKERS 32

struct watch_service {
	struct context *context;
	struct workers *workers;
	struct watch_feeds feeds;
	LIST_HEAD(, watcher) by_id[WATCH_ID_BUCKETS];
};

/* The polled watcher of an id, or NULL with an error; and adding one. */
struct watcher *watch_service_find(struct watch_service *svc, const char *id, struct error *err);
void watch_service_add(struct watch_service *svc, struct watcher *w);

/* What WatchDir and CreateWatcher ask for. */
struct watch_request {
	const char *path;
	bool recursive;
	bool include_entry;
	bool allow_network_mounts;
};

/*
 * Begins to watch for the call: it gets `start`, or an id where it is `polled`, once the watch is
 * in place, or fails. The call's data is a struct watcher from then on, until it is ended.
 */
void watch_open(struct rpc_call *call, const struct watch_request *request, bool polled);

/* `cancel` of both. */
void watch_cancel(struct rpc_call *call, enum rpc_cancel why);

/* Whether the client is an old one, which knows no entries in events (rpc.md). */
bool watch_is_legacy(struct rpc_call *call);

/* Says so in the answer's head, for those clients. */
void watch_say_legacy(struct rpc_call *call);

extern const struct rpc_method watch_rpc_watch_dir;
extern const struct rpc_method watch_rpc_create_watcher;
extern const struct rpc_method watch_rpc_get_watcher_events;
extern const struct rpc_method watch_rpc_remove_watcher;

#endif
