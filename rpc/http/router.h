/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The router: finds the handler for a method and path.
 *
 * The whole path is compared (compatibility/details 6: no trailing slash, no percent-encoding for
 * plain endpoints). If the path exists with another method, the response is 405 with `Allow`; for
 * an unknown path it is 404.
 */
#ifndef RPC_HTTP_ROUTER_H
#define RPC_HTTP_ROUTER_H

#include <stdint.h>

struct arena;
struct router;
struct stream;

/* A handler begins the answer: it registers its stream handler, or replies at once. */
typedef void router_fn(struct stream *s, void *arg);

struct router *router_new(void);
void router_free(struct router *r);

/*
 * Sets the workers for computation without I/O in handlers (codecs, compression). Borrowed. NULL
 * (the default): the loop does this work.
 */
struct workers;
void router_set_workers(struct router *r, struct workers *workers);
struct workers *router_workers(const struct router *r);

/* Sets the interval of keepalives for streams whose client asks for no other interval. */
#define ROUTER_KEEPALIVE_DEFAULT_S 90
void router_set_keepalive_s(struct router *r, unsigned seconds);
uint64_t router_keepalive_ms(const struct router *r);

/* Returns an arena that lives as long as the router, for its handlers' data. */
struct arena *router_arena(struct router *r);

/*
 * Adds an endpoint. Borrows the strings. `method` is "GET", "POST", …; a path may be added once
 * for each method.
 */
void router_add(struct router *r, const char *method, const char *path, router_fn *fn, void *arg);

/* As router_add, for any method and also percent-encoded spellings of the path (RPCs). Copies. */
void router_add_rpc(struct router *r, const char *path, router_fn *fn, void *arg);

/* Answers the request: calls the handler, or replies 404 or 405. */
void router_dispatch(struct router *r, struct stream *s);

#endif
