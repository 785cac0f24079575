/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP client, for the metadata service and the log collector: one request, one answer, a
 * connection each ("Connection: close"). Addresses are numeric: a static binary has no resolver.
 */
#ifndef ENVD_HTTP_CLIENT_H
#define ENVD_HTTP_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

/* An answer is at most so long, with its head. */
#define HTTP_CLIENT_MAX_BYTES (64 * 1024)

struct http_url {
	char host[64]; /* a numeric address, without brackets */
	uint16_t port;
	char path[512]; /* begins with '/' */
};

/* Reads "http://ADDR[:PORT][/path]". 0 or -EINVAL. */
int http_url_parse(const char *text, struct http_url *ret);

/*
 * How it ended: the status (200, …) with the body, or -errno (-ETIMEDOUT, -ECONNREFUSED, …; -EPROTO
 * for an answer that can't be read). The body is borrowed for the call and NUL-terminated. Comes
 * once, from the loop; the exchange is freed when it returns.
 */
typedef void http_client_done_fn(void *arg, int status, const char *body, size_t body_bytes);

struct http_exchange;

/*
 * Starts a request. `fields` are whole header lines, each with its CRLF, or "". Copies everything.
 * Never NULL, and never calls back from inside.
 */
struct http_exchange *http_client_start(struct loop *loop, const struct http_url *url,
					const char *method, const char *fields, const void *body,
					size_t body_bytes, unsigned timeout_ms,
					http_client_done_fn *done, void *arg);

/* Gives up: done does not come. */
void http_client_cancel(struct http_exchange *x);

/*
 * Reads an answer as far as it came (exposed for its tests): 1 and the body where it is complete,
 * 0 where more is to come, -EPROTO. `at_end`: the server has closed. A chunked body is joined in
 * place, so p is written to; it has room for a NUL behind the n bytes.
 */
int http_client_parse(char *p, size_t n, int at_end, int *ret_status, char **ret_body,
		      size_t *ret_body_bytes);

#endif
