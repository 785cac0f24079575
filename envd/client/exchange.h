/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request and its response, on a connection of its own. Each function that waits has a timeout;
 * a caller that must not wait polls `fd` itself.
 */
#ifndef CLIENT_EXCHANGE_H
#define CLIENT_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "envd/client/client.h"
#include "envd/client/reply.h"

struct evbuffer;

#define EXCHANGE_READ_BYTES 65536
#define EXCHANGE_CHUNKED    (-1) /* the length of the body is unknown */

struct exchange {
	int fd; /* -1: closed */
	struct reply reply;

	/* The fields below are private. */
	const struct client *client;
	struct evbuffer *out; /* bytes that the socket has not taken yet */
	bool chunked;
	bool eof;	   /* the peer has sent everything, or the connection broke */
	uint64_t until_ms; /* the deadline of exchange_head, and of exchange_body after it */
	const char *p;
	size_t n;
	char in[EXCHANGE_READ_BYTES];
};

/*
 * Connects and queues the head of a request. `fields` is "" or complete header lines, each ending
 * in CRLF. body_bytes may be EXCHANGE_CHUNKED. 0, or -1 with the error; exchange_close may be
 * called in both cases.
 */
int exchange_open(struct exchange *x, const struct client *c, const char *method,
		  const char *target, const char *fields, int64_t body_bytes, struct error *err);
void exchange_close(struct exchange *x);

/* exchange_put queues a copy of a piece of the body. exchange_put_end ends a chunked body. */
void exchange_put(struct exchange *x, const void *p, size_t n);
void exchange_put_end(struct exchange *x);

/* The number of queued bytes that the socket has not taken. */
size_t exchange_queued(const struct exchange *x);

/*
 * Sends what the socket takes now. 0, or -errno. After a failure, the response may still tell why:
 * a peer that refuses a request answers before it has read the body, and closes.
 */
int exchange_flush(struct exchange *x);

/*
 * Sends all that is queued and waits. Returns 0 if it was sent, 1 if the response came first or the
 * peer takes no more bytes, -1 with the error.
 */
int exchange_send(struct exchange *x, struct error *err);

/*
 * Returns the next event of the response. Waits at most timeout_ms for it (-1: no limit), then
 * returns REPLY_MORE. The error of REPLY_ERROR is in *err.
 */
enum reply_event exchange_next(struct exchange *x, int timeout_ms, struct error *err);

/*
 * Sends what is queued and waits for the head of the response. 0, or -1 with the error. The time
 * limit of the client for an answer begins when all is sent, and goes on in exchange_body: a peer
 * that sends a byte from time to time does not move it.
 */
int exchange_head(struct exchange *x, struct error *err);

/* As exchange_head, but a status other than 2xx is an error, too: exchange_refused. */
int exchange_success(struct exchange *x, struct error *err);

/* Returns true if the connection has ended before the first byte of a response. */
bool exchange_ended(const struct exchange *x);

/*
 * Reads the rest of the body, at most max_bytes, with a NUL. 0 and memory that the caller frees, or
 * -1 with the error.
 */
int exchange_body(struct exchange *x, size_t max_bytes, char **ret, size_t *ret_bytes,
		  struct error *err);

/*
 * Turns a response that is not the expected one into an error, by its status and its body. Returns
 * -1.
 */
int exchange_refused(struct exchange *x, struct error *err);

/* The maximum number of bytes of a response that exchange_refused reads. */
#define EXCHANGE_ERROR_BYTES 65536

/*
 * Fills in the error from the JSON of a refusal: {"code": "not_found" or 404, "message": "…"}.
 * Anything else becomes the message itself. `status` is the HTTP status, 0 if there is none.
 */
void exchange_error_parse(const char *p, size_t n, unsigned status, struct error *err);

#endif
