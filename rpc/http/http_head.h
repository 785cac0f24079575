/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of a request, whatever HTTP version it came in: what was asked for, its fields, and
 * how its body is framed. All pointers lead into the arena of the request.
 *
 * rpc/http/http1_parse.h fills one from the bytes of HTTP/1.1 and lists the rules of what is
 * refused.
 */
#ifndef RPC_HTTP_HTTP_HEAD_H
#define RPC_HTTP_HTTP_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#define HTTP_HEAD_MAX_BYTES 65536 /* with the request line and the empty line; more is 431 */
#define HTTP_MAX_FIELDS	    1000  /* more is 431 */

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
	const char *path;   /* raw, of any form of target: begins with '/', or is "*" */
	const char *query;  /* raw, without the '?'; NULL where there is none */
	int minor_version;  /* of HTTP/1: 0 or 1 */
	unsigned n_fields;
	struct http_field *fields;
	enum http_body body;
	uint64_t content_length; /* 0 but for HTTP_BODY_LENGTH; at most INT64_MAX */
	bool keep_alive;	 /* the client wants the connection to go on */
	bool expect_continue;	 /* there is a body and the client waits for 100 */
};

/* The value of the first field of that name, or NULL. The name is given in lower case. */
const char *http_head_get(const struct http_head *head, const char *name);

/* How many fields have that name. */
unsigned http_head_count(const struct http_head *head, const char *name);

#endif
