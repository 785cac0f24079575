/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An incremental parser for a response of HTTP/1.1 (RFC 9112): bytes in, events out. Interim
 * responses (1xx) are skipped, and a chunked body is joined. The body is not buffered.
 *
 *	while ((event = reply_next(r, &p, &n)) != REPLY_MORE)
 *		switch (event) {
 *		case REPLY_HEAD:  r->status and reply_field() are valid from here on
 *		case REPLY_DATA:  r->data, r->data_bytes are valid until the next call
 *		case REPLY_END:   each later call returns it again
 *		case REPLY_ERROR: r->error is the reason; each later call returns it again
 *		}
 */
#ifndef CLIENT_REPLY_H
#define CLIENT_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/http/http1_chunked.h"

#define REPLY_HEAD_MAX_BYTES 32768 /* a head, and all 1xx heads together; more is an error */

enum reply_event {
	REPLY_MORE, /* the input is used up */
	REPLY_HEAD,
	REPLY_DATA,
	REPLY_END,
	REPLY_ERROR,
};

enum reply_state {
	REPLY_STATE_HEAD,
	REPLY_STATE_LENGTH, /* `left` bytes of the body are missing */
	REPLY_STATE_CHUNKED,
	REPLY_STATE_CLOSE, /* the body ends with the connection */
	REPLY_STATE_OVER,
	REPLY_STATE_FAILED,
};

struct reply {
	unsigned status;
	const char *data;
	size_t data_bytes;
	const char *error; /* static text */
	bool no_body;	   /* the caller sets it for an answer to HEAD (RFC 9112 section 6.3) */

	/* The fields below are private. */
	enum reply_state state;
	uint64_t left;
	struct http1_chunked chunked;
	size_t head_bytes, interim_bytes;
	char head[REPLY_HEAD_MAX_BYTES];
};

/* Makes the parser ready for a response. */
void reply_init(struct reply *r);

/* Parses up to the next event. Advances *p and reduces *n by the bytes it has used. */
enum reply_event reply_next(struct reply *r, const char **p, size_t *n);

/* Reports the end of the connection: REPLY_END if the response is complete, else REPLY_ERROR. */
enum reply_event reply_eof(struct reply *r);

/*
 * Returns the value of the first field of this name, in any case; NULL if there is none. Borrowed,
 * valid until the next reply_init.
 */
const char *reply_field(const struct reply *r, const char *name);

#endif
