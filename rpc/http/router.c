/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/http/router.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "rpc/http/stream.h"
#include "rpc/http/uri.h"

struct route {
	const char *path;
	const char *method; /* NULL: an RPC, for any */
	router_fn *fn;
	void *arg;
	struct route *next;
};

/* Some forty routes: a small open hash of lists finds one with a comparison or two. */
#define N_BUCKETS 64

struct router {
	struct arena arena; /* of the routes */
	struct route *buckets[N_BUCKETS];
	struct workers *workers; /* borrowed; or NULL */
	unsigned keepalive_s;
};

static size_t bucket_of(const char *path)
{
	size_t h = 5381;

	for (; *path; path++)
		h = h * 33 + (unsigned char)*path;
	return h % N_BUCKETS;
}

struct router *router_new(void)
{
	struct router *r = mem_zalloc(sizeof(*r));

	r->keepalive_s = ROUTER_KEEPALIVE_DEFAULT_S;
	return r;
}

void router_free(struct router *r)
{
	if (!r)
		return;
	arena_clear(&r->arena);
	free(r);
}

void router_set_workers(struct router *r, struct workers *workers)
{
	r->workers = workers;
}

struct workers *router_workers(const struct router *r)
{
	return r->workers;
}

void router_set_keepalive_s(struct router *r, unsigned seconds)
{
	r->keepalive_s = seconds;
}

uint64_t router_keepalive_ms(const struct router *r)
{
	return (uint64_t)r->keepalive_s * 1000;
}

struct arena *router_arena(struct router *r)
{
	return &r->arena;
}

static void add(struct router *r, const char *method, const char *path, router_fn *fn, void *arg)
{
	struct route *route = arena_zalloc(&r->arena, sizeof(*route));
	struct route **at = &r->buckets[bucket_of(path)];

	route->path = path;
	route->method = method;
	route->fn = fn;
	route->arg = arg;
	while (*at)
		at = &(*at)->next;
	*at = route;
}

void router_add(struct router *r, const char *method, const char *path, router_fn *fn, void *arg)
{
	add(r, method, path, fn, arg);
}

void router_add_rpc(struct router *r, const char *path, router_fn *fn, void *arg)
{
	add(r, NULL, arena_strdup(&r->arena, path), fn, arg);
}

/* Finds the route for path and method. *ret_other: the path exists with another method. */
static struct route *find(struct router *r, const char *path, const char *method, bool rpc_only,
			  bool *ret_other)
{
	struct route *route;

	*ret_other = false;
	for (route = r->buckets[bucket_of(path)]; route; route = route->next) {
		if (strcmp(route->path, path) != 0 || (rpc_only && route->method))
			continue;
		if (!route->method || strcmp(route->method, method) == 0)
			return route;
		*ret_other = true;
	}
	return NULL;
}

/*
 * Sends 405 with the supported methods, one Allow line each (RFC 9110 section 15.5.6,
 * compatibility/details 6).
 */
static void reply_method_not_allowed(struct router *r, struct stream *s, const char *path)
{
	struct route *route;

	for (route = r->buckets[bucket_of(path)]; route; route = route->next)
		if (strcmp(route->path, path) == 0)
			stream_header(s, "Allow", route->method);
	stream_reply(s, 405, NULL, NULL, 0);
}

void router_dispatch(struct router *r, struct stream *s)
{
	static const char not_found[] = "404 page not found\n";
	const struct http_head *head = stream_head_in(s);
	const char *path = head->path;
	struct route *route;
	bool other;

	route = find(r, path, head->method, false, &other);
	if (!route && !other && strchr(path, '%')) {
		path = uri_path_decode(stream_arena(s), path, NULL);
		if (path)
			route = find(r, path, head->method, true, &other);
	}
	if (route) {
		route->fn(s, route->arg);
		return;
	}
	if (other) {
		reply_method_not_allowed(r, s, path);
		return;
	}
	stream_header(s, "X-Content-Type-Options", "nosniff");
	stream_reply(s, 404, "text/plain; charset=utf-8", not_found, sizeof(not_found) - 1);
}
