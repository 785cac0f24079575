/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the files of the watch methods.
 */
#ifndef WATCH_SERVICE_IMPL_H
#define WATCH_SERVICE_IMPL_H

#include <sys/queue.h>

#include "rpc/call.h"
#include "watch/feed.h"
#include "watch/service.h"
#include "watch/watcher.h"

/* Two digits of an id choose the bucket; ids are random. */
#define WATCH_ID_BUCKETS 256

/*
 * The number of workers for watches. Reading a file system that hangs occupies one of them for
 * ever.
 */
#define WATCH_WORKERS 32

/* The message limit; a request contains a path or an id. */
#define WATCH_MESSAGE_MAX_BYTES (64u * 1024)

/* Watchers of an earlier daemon that are being recreated (watch/handover.h). */
struct watch_adoption {
	unsigned waiting, failed;
	void (*done)(void *arg);
	void *arg;
};

struct watch_service {
	struct watch_adoption adoption;
	struct context *context;
	struct workers *workers;
	struct watch_feeds feeds;
	unsigned expires_ms; /* WATCHER_EXPIRES_MS; tests set a shorter time */
	LIST_HEAD(, watcher) by_id[WATCH_ID_BUCKETS];
};

/* Finds the polled watcher with this id; NULL with an error if there is none. */
struct watcher *watch_service_find(struct watch_service *svc, const char *id, struct error *err);

/* Adds a polled watcher, whose id is set, to the table. */
void watch_service_add(struct watch_service *svc, struct watcher *w);

/* The request of WatchDir and of CreateWatcher. */
struct watch_request {
	const char *path;
	bool recursive;
	bool include_entry;
	bool allow_network_mounts;
};

/*
 * Starts a watch for the call, and makes a struct watcher the call's data. When the watch is in
 * place, the call receives START, or the watcher's id if `polled`. On failure the call fails.
 */
void watch_open(struct rpc_call *call, const struct watch_request *request, bool polled);

/*
 * As watch_open for an adopted watcher, which has no call. `options` is the header's text, or NULL.
 */
void watch_open_adopted(struct watcher *w, const struct watch_request *request,
			const char *options);

/* Log and count an adopted watcher that became live or failed. */
void watch_adopted_live(struct watcher *w);
void watch_adopted_failed(struct watcher *w, const struct error *err);

/* `cancel` of WatchDir and CreateWatcher. */
void watch_cancel(struct rpc_call *call, enum rpc_cancel why);

/*
 * Returns true if the client is an old SDK, whose events have no entries (compatibility/details
 * 72).
 */
bool watch_is_legacy(struct rpc_call *call);

/* Adds the header that marks the response to an old SDK. */
void watch_say_legacy(struct rpc_call *call);

extern const struct rpc_method watch_rpc_watch_dir;
extern const struct rpc_method watch_rpc_create_watcher;
extern const struct rpc_method watch_rpc_get_watcher_events;
extern const struct rpc_method watch_rpc_remove_watcher;

#endif
