/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream: one request and its response, whatever carries it (HTTP/1.1 now, HTTP/2 later).
 *
 * This is the one contract that every handler relies on. A handler is called with a stream whose
 * request head is complete; it registers a `struct stream_handler` and answers with the calls
 * below. The rules:
 *
 *  1. stream_send always takes the bytes. STREAM_FULL (more than STREAM_HIGH_BYTES wait to be
 *     written) means: produce no more until `writable`.
 *  2. After FULL, `writable` comes exactly once, when fewer than STREAM_LOW_BYTES wait, from the
 *     loop, never from inside a call.
 *  3. While held, no body is delivered and the socket is not read.
 *  4. There is exactly one ending: stream_finish or stream_reset by the handler, or `gone` to it.
 *     Later calls do nothing, so a late completion needs no check.
 *  5. `gone` comes even if the head was never sent. A reference keeps the memory (the arena, the
 *     head, the handler's data), not the connection.
 *
 * No callback comes from inside a stream_* call, and none after the ending. Everything here runs
 * on the loop.
 *
 * Each rule is a unit test against a fake transport (tests/unit/test_stream.c).
 */
#ifndef RPC_HTTP_STREAM_H
#define RPC_HTTP_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "rpc/http/http_head.h"

struct body_loan;
struct budget;
struct budget_share;
struct evbuffer;
struct loop;
struct stream;
struct workers;

#define STREAM_HIGH_BYTES (64 * 1024)
#define STREAM_LOW_BYTES  (16 * 1024)

enum stream_flow {
	STREAM_OK,
	STREAM_FULL, /* produce no more until `writable` */
};

/* A response whose length is not known beforehand: chunked, or ended by the close (HTTP/1.0). */
#define STREAM_LENGTH_UNKNOWN (-1)

/* What a handler wants to hear. Every member may be NULL. */
struct stream_handler {
	/*
	 * Body bytes. The handler takes them out of `data` (evbuffer_remove_buffer moves without
	 * copying); what it leaves is dropped. Without this member the body is read and dropped.
	 */
	void (*body)(struct stream *s, struct evbuffer *data);
	/* The request's body has ended, as it should; also for a request that has none. */
	void (*body_end)(struct stream *s);
	/* After STREAM_FULL, or when a file is sent: go on. */
	void (*writable)(struct stream *s);
	/*
	 * The client has ended its sending side, behind a complete body. For streaming RPCs, whose
	 * reader is all that matters, that is its going away: they say so and finish. Where it is
	 * NULL the response is carried to its end.
	 */
	void (*half_closed)(struct stream *s);
	/*
	 * The client has gone, or broke the protocol in the midst of the body, or the daemon is
	 * ending. The last callback.
	 */
	void (*gone)(struct stream *s);
	/*
	 * The daemon ends: say so to the client and finish. Where it is NULL the stream is reset
	 * and `gone` comes.
	 */
	void (*shutdown)(struct stream *s);
};

/* ---- the request ---- */

const struct http_head *stream_head_in(const struct stream *s);

/* The value of the first field of this (lower-case) name, or NULL. Borrowed from the arena. */
const char *stream_header_in(const struct stream *s, const char *name);

/* The arena of the request; it lives as long as the stream's last reference. */
struct arena *stream_arena(struct stream *s);

struct loop *stream_loop(const struct stream *s);

/*
 * What the request holds in memory, for a handler that gathers what a client sends: it charges
 * bytes before it keeps them. Whatever is still charged when the stream is freed is given back
 * then.
 */
struct budget_share *stream_share(struct stream *s);

/*
 * The client is one that the daemon trusts (it presented the token, or none is needed): from now on
 * its bytes are charged to BUDGET_CLASS_REQUESTS instead of BUDGET_CLASS_UNAUTHENTICATED.
 */
void stream_set_admitted(struct stream *s);

/* Numbers the requests since the start, for the log. */
uint64_t stream_id(const struct stream *s);

/*
 * Every request is told at its end to those who collect the log, with method, path and status:
 * with what went wrong after the status, a static text; or not at all, for a probe each second.
 */
void stream_set_outcome(struct stream *s, const char *outcome);
void stream_set_quiet(struct stream *s);

/*
 * Who asks, as the daemon's gate found out (HTTP Basic); NULL where the request names nobody.
 * Copied into the arena.
 */
void stream_set_user(struct stream *s, const char *name);
const char *stream_user(const struct stream *s);

/*
 * Registers what to call and what for. A handler may be replaced by another (a router hands a
 * stream on); the body is delivered to the one registered last, and only from the loop.
 */
void stream_set_handler(struct stream *s, const struct stream_handler *handler, void *data);
void *stream_data(const struct stream *s);

/*
 * The body holds a secret: the memory of the connection that it came through is wiped. The handler
 * wipes what was handed to it.
 */
void stream_set_secret(struct stream *s);

/*
 * The client may pause in the body for as long as it likes: its input is a person's, or another
 * program's. Otherwise a client that sends nothing for SERVER_PROGRESS_TIMEOUT_MS is cut.
 */
void stream_allow_pauses(struct stream *s);

/* Rule 3. Held once, unheld once: these do not count. */
void stream_hold(struct stream *s);
void stream_unhold(struct stream *s);

/*
 * Lends what is still to come of a large body to a worker (rpc/http/body_loan.h), between
 * stream_lend and
 * stream_return: meanwhile no body is delivered, the socket is not read, and the handler must not
 * end the stream. False where it can't be lent: the bytes come by `body`, as always. What the
 * worker did not take comes by `body` too, and body_end comes in any case. stream_return has to
 * follow, also after the stream's ending.
 */
bool stream_lend(struct stream *s, struct body_loan *ret);
void stream_return(struct stream *s, struct body_loan *loan);

/* ---- the response ---- */

/* Adds a field to the response's head, or, once the head was sent, to its trailers. Copies. */
void stream_header(struct stream *s, const char *name, const char *value);
void stream_headerf(struct stream *s, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* As stream_header, in the place of all fields of that name that were added and not sent yet. */
void stream_header_set(struct stream *s, const char *name, const char *value);

/*
 * Sends the head. `length_bytes` is the body's length, or STREAM_LENGTH_UNKNOWN; the body must
 * have just that length (fewer bytes at stream_finish cut the connection, more are dropped). For
 * HEAD the length is told and every later byte dropped. The bytes wait for the end of the current
 * callback, so that the head and the first bytes leave in one write.
 */
void stream_head(struct stream *s, unsigned status, int64_t length_bytes);
bool stream_head_sent(const struct stream *s);

/* Moves all of `data` into the response. The head must have been sent. */
enum stream_flow stream_send(struct stream *s, struct evbuffer *data);

/* Copies n bytes into the response. */
enum stream_flow stream_send_bytes(struct stream *s, const void *p, size_t n);

/*
 * Sends n bytes that stay where they are; `release(p, n, arg)` is called when they are no longer
 * needed, be it at once. For bytes that several streams share, and for large ones.
 */
enum stream_flow stream_send_ref(struct stream *s, const void *p, size_t n,
				 void (*release)(const void *p, size_t n, void *arg), void *arg);

/*
 * Sends `length` bytes of the file from `offset` on, by sendfile; pages that are not in memory are
 * read by a worker first. (For a file whose pages come from another machine or process even that
 * is not enough to keep the loop from waiting: make its body some other way.) Borrows fd until
 * `writable` (which always comes, once, when the last byte was handed to the kernel) or the ending.
 * Nothing else may be sent until then. Needs a response of known length; a file that turns out
 * shorter cuts the connection.
 */
void stream_send_file(struct stream *s, struct workers *workers, int fd, off_t offset,
		      uint64_t length);

/* Ends the response: the last bytes, the trailers. What is left of the body is read and dropped. */
void stream_finish(struct stream *s);

/* Breaks the response off: the client sees that it is not whole. */
void stream_reset(struct stream *s);

/* A whole answer in one call; `body` is copied, `content_type` may be NULL (then no body). */
void stream_reply(struct stream *s, unsigned status, const char *content_type, const void *body,
		  size_t n);

/*
 * The answer of a plain endpoint to a failure: {"code":status,"message":text}
 * (docs/compatibility/http.md).
 */
void stream_reply_error(struct stream *s, unsigned status, const char *message);

/* Bytes of the response that wait to be written. */
size_t stream_pending_bytes(const struct stream *s);

/* ---- lifetime ---- */

/* A reference of one's own, for work that may end after the stream: rule 5. */
struct stream *stream_ref(struct stream *s);
void stream_unref(struct stream *s);

/* True until the ending. */
bool stream_live(const struct stream *s);

#endif
