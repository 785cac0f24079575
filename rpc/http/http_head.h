/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of a request, independent of the HTTP version: method, target, fields, and the framing
 * of the body. All pointers refer to the arena of the request.
 *
 * http1_parse_head (rpc/http/http1_parse.h) fills it from HTTP/1.1; that header lists what is
 * refused.
 */
#ifndef RPC_HTTP_HTTP_HEAD_H
#define RPC_HTTP_HTTP_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#define HTTP_HEAD_MAX_BYTES 65536 /* including request line and empty line; more: 431 */
#define HTTP_MAX_FIELDS	    1000  /* more: 431 */

struct http_field {
	const char *name;  /* lower case, NUL-terminated */
	const char *value; /* without white space around it, NUL-terminated; has no NUL inside */
	unsigned name_bytes;
	unsigned value_bytes;
};

enum http_body {
	HTTP_BODY_NONE,
	HTTP_BODY_LENGTH, /* content_length bytes, at least one */
	HTTP_BODY_CHUNKED,
};

struct http_head {
	const char *method; /* case-sensitive */
	const char *target; /* as it was sent */
	const char *path;   /* undecoded, for every form of target; begins with '/', or is "*" */
	const char *query;  /* undecoded, without the '?'; NULL: none */
	int minor_version;  /* of HTTP/1: 0 or 1 */
	unsigned n_fields;
	struct http_field *fields;
	enum http_body body;
	uint64_t content_length; /* for HTTP_BODY_LENGTH, at most INT64_MAX; else 0 */
	bool keep_alive;	 /* the client wants to keep the connection */
	bool expect_continue;	 /* there is a body and the client waits for 100 */
};

/* Returns the value of the first field of this lower-case name, or NULL. */
const char *http_head_get(const struct http_head *head, const char *name);

/* Returns the number of fields of this lower-case name. */
unsigned http_head_count(const struct http_head *head, const char *name);

#endif
