/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP/1.1 client, for the metadata service and the log collector. Each request uses its
 * own connection ("Connection: close"). Addresses must be numeric: a static binary has no resolver.
 */
#ifndef ENVD_HTTP_CLIENT_H
#define ENVD_HTTP_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

/* The maximum size of a response, with its head. */
#define HTTP_CLIENT_MAX_BYTES (64 * 1024)

struct http_url {
	char host[64]; /* a numeric address, without brackets */
	uint16_t port;
	char path[512]; /* begins with '/' */
};

/* Parses "http://ADDR[:PORT][/path]". 0 or -EINVAL. */
int http_url_parse(const char *text, struct http_url *ret);

/*
 * Called once, from the loop, when the exchange ends. `status` is the HTTP status (200, …), or
 * -errno (-ETIMEDOUT, -ECONNREFUSED, …; -EPROTO for a malformed response; -EMSGSIZE for a response
 * that is too large). The body is borrowed during the call and NUL-terminated. The exchange is
 * freed afterwards.
 */
typedef void http_client_done_fn(void *arg, int status, const char *body, size_t body_bytes);

struct http_exchange;

/*
 * Starts a request. `fields` is "" or complete header lines, each ending in CRLF. Copies all
 * arguments. Never returns NULL. `done` is never called before this function returns.
 */
struct http_exchange *http_client_start(struct loop *loop, const struct http_url *url,
					const char *method, const char *fields, const void *body,
					size_t body_bytes, unsigned timeout_ms,
					http_client_done_fn *done, void *arg);

/* Ends the exchange without calling `done`, and frees it. Accepts NULL. */
void http_client_cancel(struct http_exchange *x);

/*
 * Parses the n bytes of a response that have arrived (public for its tests). Returns 1 and the body
 * if the response is complete, 0 if more bytes are needed, or -EPROTO. `at_end`: the server has
 * closed the connection. A chunked body is joined in place, so p is modified; p[n] must be
 * writable.
 */
int http_client_parse(char *p, size_t n, int at_end, int *ret_status, char **ret_body,
		      size_t *ret_body_bytes);

#endif
