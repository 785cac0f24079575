/* SPDX-License-Identifier: Apache-2.0 */
/* Opens a watch for WatchDir and CreateWatcher: from the path to a watcher that joins a root. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/work.h"
#include "fs/entry.h"
#include "fs/netmount.h"
#include "rpc/context.h"
#include "watch/engine/mounts.h"
#include "watch/options.h"
#include "watch/service_impl.h"

/* The lookup of the directory by a worker. */
struct opening {
	struct work work;
	struct rpc_call *call;	 /* a reference; its data is the watcher, NULL after its end */
	struct watcher *adopted; /* set if there is no call */
	struct arena arena;	 /* for an adopted watcher; others use the call's arena */
	char *path;		 /* in the arena, like the options */
	char *clean;
	struct watch_mounts *mounts;
	bool recursive;
	bool allow_network;
	struct watch_options options;
	char *real; /* without symbolic links; owned */
	struct stat st;
	struct error err; /* code ERROR_OK: none */
};

static int fail(struct opening *o, enum error_code code, int errnum, const char *what)
{
	struct arena arena = {0};

	error_set_errno(&o->err, code, errnum, "%s %s", what, fs_text(o->path, &arena));
	arena_clear(&arena);
	return -1;
}

static int refuse(struct opening *o, const char *what)
{
	struct arena arena = {0};

	error_set(&o->err, ERROR_INVALID_ARGUMENT, "%s%s", what, fs_text(o->path, &arena));
	arena_clear(&arena);
	return -1;
}

/* Checks the directory on the worker. 0, or -1 with the error. */
static int find_directory(struct opening *o)
{
	bool network;
	int r;

	/*
	 * Checked before the path is accessed, because a server that does not answer would block
	 * this thread.
	 */
	if (!o->allow_network && watch_mounts_of(o->mounts, o->clean) == WATCH_MOUNT_NETWORK)
		return refuse(o, "cannot watch path on network filesystem: ");
	if (stat(o->path, &o->st) < 0)
		return fail(o, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_INTERNAL, errno,
			    errno == ENOENT ? "path not found: stat" : "error statting path");
	if (!S_ISDIR(o->st.st_mode))
		return refuse(o, "path is not a directory: ");
	r = fs_path_is_network(o->path, &network);
	if (r < 0)
		return fail(o, ERROR_INTERNAL, r, "error checking mount status of");
	if (network && !o->allow_network)
		return refuse(o, "cannot watch path on network filesystem: ");
	o->real = realpath(o->path, NULL);
	if (!o->real)
		return fail(o, ERROR_INTERNAL, errno, "error resolving path");
	return 0;
}

static void opening_run(struct work *work)
{
	find_directory(container_of(work, struct opening, work));
}

static void opening_join(struct opening *o, struct watcher *w)
{
	struct watch_subscription subscription = {
		.path = o->real,
		.dev = o->st.st_dev,
		.ino = o->st.st_ino,
		.recursive = o->recursive,
		.network = o->allow_network,
		.ignored = &o->options.ignored,
	};

	watcher_set_state(w, WATCHER_JOINING);
	watch_feeds_join(&w->service->feeds, &subscription, w);
}

static void opening_done(struct work *work)
{
	struct opening *o = container_of(work, struct opening, work);
	struct watcher *w = o->call ? rpc_call_data(o->call) : o->adopted;

	if (w && o->err.code) {
		if (o->call)
			rpc_fail(o->call, &o->err);
		else
			watch_adopted_failed(w, &o->err);
		watcher_free(w);
	} else if (w) {
		opening_join(o, w);
	}
	if (o->call)
		rpc_call_unref(o->call);
	arena_clear(&o->arena);
	free(o->real);
	free(o);
}

/* Resolves the client's path, in the call's arena; NULL if the call has failed. */
static char *resolve(struct rpc_call *call, const char *path)
{
	struct watch_service *svc = rpc_call_service(call);
	struct arena *arena = rpc_call_arena(call);
	struct error err;
	struct user user;
	char *resolved;

	if (context_find_user(svc->context, rpc_call_user(call), arena, &user, &err) < 0 ||
	    path_resolve(path, &user, svc->context->default_workdir, arena, &resolved, &err) < 0) {
		rpc_fail(call, &err);
		return NULL;
	}
	return resolved;
}

/* Submits the lookup to a worker. Its path and options are set. */
static void opening_start(struct opening *o, struct watcher *w, const struct watch_request *request,
			  struct arena *arena)
{
	struct watch_service *svc = w->service;

	o->clean = path_clean(arena, o->path);
	o->mounts = svc->feeds.mounts;
	w->path = mem_strdup(o->clean);
	w->recursive = request->recursive;
	o->recursive = request->recursive;
	o->allow_network = request->allow_network_mounts;
	o->work.run = opening_run;
	o->work.done = opening_done;
	work_submit(svc->workers, &o->work);
}

void watch_open_adopted(struct watcher *w, const struct watch_request *request, const char *options)
{
	struct opening *o = mem_zalloc(sizeof(*o));
	struct error err;

	o->adopted = w;
	o->path = arena_strdup(&o->arena, request->path);
	if (watch_options_parse(options ? arena_strdup(&o->arena, options) : NULL, &o->arena,
				&o->options, &err) < 0)
		o->options = (struct watch_options){0};
	watcher_set_options(w, &o->options);
	if (options)
		w->options = mem_strdup(options);
	opening_start(o, w, request, &o->arena);
}

void watch_open(struct rpc_call *call, const struct watch_request *request, bool polled)
{
	struct watch_service *svc = rpc_call_service(call);
	char *path = resolve(call, request->path);
	const char *header = rpc_call_header(call, WATCH_OPTIONS_HEADER);
	struct watch_options options;
	struct opening *o;
	struct watcher *w;
	struct error err;

	if (!path)
		return;
	if (watch_options_parse(header, rpc_call_arena(call), &options, &err) < 0) {
		rpc_fail(call, &err);
		return;
	}
	w = watcher_new(svc, call, polled);
	if (!w)
		return;
	watcher_set_options(w, &options);
	w->want_entry = request->include_entry && !watch_is_legacy(call);
	watch_say_legacy(call);
	o = mem_zalloc(sizeof(*o));
	o->call = rpc_call_ref(call);
	o->path = path;
	o->options = options;
	if (header)
		w->options = mem_strdup(header);
	opening_start(o, w, request, rpc_call_arena(call));
}

void watch_cancel(struct rpc_call *call, enum rpc_cancel why)
{
	struct watcher *w = rpc_call_data(call);

	if (w)
		watcher_free(w);
}
