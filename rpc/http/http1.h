/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 on one connection: bytes in, requests up, response bytes out. The engine has neither a
 * descriptor nor a clock: the connection (conn.c) has both, and tests do without.
 *
 *	conn appends to http->in ─► http1_process ─► stream, calls->request
 *	stream_send …            ─► http->out, http->file ─► conn writes them
 *
 * Pipelined requests are taken one after the other. The engine looks at the next request after the
 * response to the last one is complete and no more than STREAM_HIGH_BYTES of it wait to be written.
 */
#ifndef RPC_HTTP_HTTP1_H
#define RPC_HTTP_HTTP1_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/budget.h"
#include "rpc/http/http1_chunked.h"
#include "rpc/http/http1_parse.h"

struct body_loan;
struct evbuffer;
struct loop;
struct stream;

enum http1_state {
	HTTP1_IDLE,	/* between requests */
	HTTP1_HEAD,	/* a part of a head has come */
	HTTP1_BODY,	/* the body is being read */
	HTTP1_LENT,	/* a worker reads the body: the loop must not */
	HTTP1_RESPONSE, /* the body is complete, the response is not */
	HTTP1_LAST,	/* nothing is read any more; when `out` is written, the connection closes */
	HTTP1_BROKEN,	/* the connection closes at once; nothing is written any more */
};

/* What follows the current response. The greater one prevails, until the next request. */
enum http1_ending {
	HTTP1_KEEP,   /* the next request */
	HTTP1_CLOSE,  /* the connection closes */
	HTTP1_LINGER, /* the same, but the client may still be sending: see http1_lingers */
	HTTP1_ABORT,  /* the connection breaks off: the client must see a reset, not an end */
};

/* How fast the client has to send the body that is being read. */
enum http1_pace {
	HTTP1_PACE_NONE,    /* it may pause for as long as it likes; or no body is being read */
	HTTP1_PACE_STEADY,  /* it may not stop for ever */
	HTTP1_PACE_BOUNDED, /* the client has no token: all of the body in a bounded time */
};

/* A body that no handler wants is read up to this length. A longer one ends the connection. */
#define HTTP1_DRAIN_MAX_BYTES (64u * 1024 * 1024)

/* While a response is in work, this much of the next requests is read and kept. */
#define HTTP1_READ_AHEAD_BYTES (64 * 1024)

/* A part of a file that waits to be sent, behind all bytes in `out`. */
struct http1_file {
	int fd;
	struct workers *workers; /* send large parts, and parts that are not in memory */
	off_t offset;
	uint64_t left;
	off_t warm_until; /* the file is in memory up to this offset */
};

/* What the engine needs of its surroundings. `arg` is the one of http1_init. */
struct http1_calls {
	/*
	 * Something can be written, or read again: http1_process has to run. It may come from
	 * inside http1_process; then nothing needs to be done.
	 */
	void (*wake)(void *arg);
	/* A request's head is complete: answer, or register a handler. */
	void (*request)(struct stream *s, void *arg);
	/* The value of Date (RFC 9110 section 6.6.1). Borrowed until the next call. */
	const char *(*date)(void *arg);
	/*
	 * A worker is to read loan->left bytes of the body: fill in the rest of the loan. False: it
	 * can't be lent. NULL: nothing ever can.
	 */
	bool (*lend)(struct body_loan *loan, void *arg);
};

struct http1 {
	const struct http1_calls *calls;
	void *arg;
	uint64_t id; /* of the connection, for the log */
	struct evbuffer *in;
	struct evbuffer *out;
	struct http1_file file;

	/* The rest is http1.c's own. */
	struct loop *loop;
	struct budget *budget;
	enum http1_state state;
	enum http1_ending ending;
	struct http1_scan scan;
	struct http1_chunked chunked;
	struct stream *stream;	   /* the request in work, or NULL */
	uint64_t body_left;	   /* of a body with a length */
	uint64_t drained;	   /* bytes of the body that no handler wanted */
	struct budget_share input; /* bytes of `in` that are no body: heads, requests read ahead */
	unsigned long long n_requests;
	enum http_body body; /* of the request in work */
	bool response_chunked;
	bool response_done;
	bool expects_continue; /* 100 was not sent yet */
	bool eof;	       /* the client's sending side has ended */
	bool secret;	       /* a secret body came by: conn wipes what it was read through */
};

/* Borrows all but the numbers. */
void http1_init(struct http1 *h, const struct http1_calls *calls, void *arg, struct loop *loop,
		struct budget *budget, uint64_t id);

/* Ends a request in work (`gone`) and frees the buffers. */
void http1_clear(struct http1 *h);

/* The connection ends after the current response. For `request`, before the head is sent. */
void http1_close_after(struct http1 *h);

/* From the loop: takes what it can of `in`. */
void http1_process(struct http1 *h);

/* From the loop: the client has ended its sending side, or the connection broke. */
void http1_eof(struct http1 *h);
void http1_broken(struct http1 *h);

/* From the loop, after bytes of `out` or `file` were written. */
void http1_drained(struct http1 *h);

/* From the loop: the file can't be sent as promised, or the client is too slow. It sees a reset. */
void http1_abort(struct http1 *h);

/* From the loop: the daemon ends. */
void http1_shutdown(struct http1 *h);

/* How fast the client has to send. */
enum http1_pace http1_pace(const struct http1 *h);

/* Whether more input is wanted now. Where it is not, the socket must not be read. */
bool http1_wants_input(const struct http1 *h);

/* How many bytes of the body are known to come: how much to read at once. */
uint64_t http1_expects_bytes(const struct http1 *h);

/* Whether all is written and the connection is to be closed. */
bool http1_finished(const struct http1 *h);

/*
 * Whether the client may still be sending when the connection closes: closing with unread input
 * makes TCP send a reset, which can destroy the response on its way (RFC 9112 section 9.6).
 */
bool http1_lingers(const struct http1 *h);

#endif
