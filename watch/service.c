/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/service.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/work.h"
#include "fs/entry.h"
#include "rpc/context.h"
#include "watch/service_impl.h"

struct watch_service *watch_service_new(struct context *context)
{
	struct watch_service *svc = mem_zalloc(sizeof(*svc));

	svc->context = context;
	svc->expires_ms = WATCHER_EXPIRES_MS;
	svc->workers = workers_new(context->loop, "watches", WATCH_WORKERS);
	watch_feeds_init(&svc->feeds, context->loop, svc->workers, context->users);
	return svc;
}

void watch_service_free(struct watch_service *svc)
{
	struct watcher *w;
	size_t i;

	if (!svc)
		return;
	workers_free(svc->workers);
	for (i = 0; i < WATCH_ID_BUCKETS; i++)
		while ((w = LIST_FIRST(&svc->by_id[i])))
			watcher_free(w);
	watch_feeds_clear(&svc->feeds);
	free(svc);
}

void watch_service_register(struct watch_service *svc, struct router *router)
{
	rpc_register(router, &watch_rpc_watch_dir, 1, svc);
	rpc_register(router, &watch_rpc_create_watcher, 1, svc);
	rpc_register(router, &watch_rpc_get_watcher_events, 1, svc);
	rpc_register(router, &watch_rpc_remove_watcher, 1, svc);
}

static size_t bucket_of(const char *id)
{
	return id[0] && id[1]
		       ? ((unsigned char)id[1] * 16u + (unsigned char)id[2]) % WATCH_ID_BUCKETS
		       : 0;
}

void watch_service_add(struct watch_service *svc, struct watcher *w)
{
	LIST_INSERT_HEAD(&svc->by_id[bucket_of(w->id)], w, by_id);
}

struct watcher *watch_service_find(struct watch_service *svc, const char *id, struct error *err)
{
	struct watcher *w;

	if (*id)
		LIST_FOREACH (w, &svc->by_id[bucket_of(id)], by_id)
			if (strcmp(w->id, id) == 0)
				return w;
	error_set(err, ERROR_NOT_FOUND, "watcher with id %s not found", id);
	return NULL;
}

bool watch_is_legacy(struct rpc_call *call)
{
	const char *agent = rpc_call_header(call, "user-agent");

	return agent && strcmp(agent, FS_LEGACY_USER_AGENT) == 0;
}

void watch_say_legacy(struct rpc_call *call)
{
	if (watch_is_legacy(call))
		rpc_header(call, FS_LEGACY_HEADER, "true");
}

void watch_service_dump(const struct watch_service *svc)
{
	const struct watcher *w;
	size_t i;

	watch_feeds_dump(&svc->feeds);
	for (i = 0; i < WATCH_ID_BUCKETS; i++)
		LIST_FOREACH (w, &svc->by_id[i], by_id)
			log_info("polled watcher of %s: %u events in %zu bytes wait%s", w->path,
				 w->queue.n, w->queue.bytes,
				 w->queue.dropped ? ", others were dropped" : "");
}
