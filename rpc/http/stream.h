/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream: one request and its response, independent of the HTTP version.
 *
 * Every handler relies on this contract. A handler is called with a stream whose request head is
 * complete; it registers a `struct stream_handler` and answers with the calls below. The rules:
 *
 *  1. stream_send always takes the bytes. STREAM_FULL (more than STREAM_HIGH_BYTES wait to be
 *     written) means: produce no more until `writable`.
 *  2. After FULL, `writable` comes exactly once, when fewer than STREAM_LOW_BYTES wait, from the
 *     loop, never from inside a call.
 *  3. While the stream is held, no body is delivered and the socket is not read.
 *  4. There is exactly one ending: the handler calls stream_finish or stream_reset, or gets `gone`.
 *     Later calls do nothing, so a late completion needs no check.
 *  5. `gone` is the last callback, and comes even if the head was never sent. A reference keeps the
 *     memory (the arena, the head, the handler's data), not the connection.
 *
 * No callback comes from inside a stream_* call, and none after the ending. Everything here runs
 * on the loop.
 *
 * Each rule has a unit test that drives the HTTP/1.1 engine without a socket
 * (tests/unit/test_stream_*.c).
 */
#ifndef RPC_HTTP_STREAM_H
#define RPC_HTTP_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/log.h"
#include "rpc/http/http_head.h"

struct body_loan;
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

/* The length of a response that is chunked, or that ends with the connection (HTTP/1.0). */
#define STREAM_LENGTH_UNKNOWN (-1)

/* The callbacks of a handler. Every member may be NULL. */
struct stream_handler {
	/*
	 * Body bytes. The handler moves the bytes that it needs out of `data`
	 * (evbuffer_remove_buffer copies nothing); the rest is dropped. NULL: the body is read and
	 * dropped.
	 */
	void (*body)(struct stream *s, struct evbuffer *data);
	/* The body of the request is complete; called also if the request has no body. */
	void (*body_end)(struct stream *s);
	/* After STREAM_FULL: send again. Also when stream_send_file is done. */
	void (*writable)(struct stream *s);
	/*
	 * The client has shut its sending side down after a complete body. A streaming RPC takes
	 * this as the client's departure: it sends an error and finishes. NULL: the response goes
	 * on to its end.
	 */
	void (*half_closed)(struct stream *s);
	/*
	 * The connection is lost, or the client broke the protocol inside the body, or the daemon
	 * ends. The last callback.
	 */
	void (*gone)(struct stream *s);
	/*
	 * The daemon ends: tell the client and finish. NULL: the stream is reset, and `gone` comes.
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
 * The budget share of the request. A handler that gathers bytes of the client charges them to this
 * share before it keeps them. When the stream is freed, the rest of the share is given back.
 */
struct budget_share *stream_share(struct stream *s);

/*
 * Records that the client presented the access token, or needs none. From now on its bytes are
 * charged to BUDGET_CLASS_REQUESTS instead of BUDGET_CLASS_UNAUTHENTICATED.
 */
void stream_set_admitted(struct stream *s);

/*
 * Record, and tell, that the request came over a listener with listen_spec.restricted. A handler
 * refuses such a request if its endpoint is reserved for other listeners (-upgrade-over).
 */
void stream_set_restricted(struct stream *s);
bool stream_is_restricted(const struct stream *s);

/* The number of the request, counted from the daemon's start. */
uint64_t stream_id(const struct stream *s);

/* Number and trace context, for lines of the log. The texts are in the arena. */
struct log_request stream_log_request(const struct stream *s);

/* Sets the trace context from the head. The transport calls it before the gate. */
void stream_read_trace(struct stream *s);

/*
 * At the end of each request the log gets a line with the method and the path without its query,
 * and for a failure the status and the reason. stream_set_outcome sets the reason (static, or in
 * the arena); stream_reply_error sets it, too. stream_set_quiet suppresses the line, for probes
 * that come every second, and for requests that log lines of their own.
 */
void stream_set_outcome(struct stream *s, const char *outcome);
void stream_set_quiet(struct stream *s);

/*
 * Members that a handler adds to the line of the request, as the handlers of /files do: another
 * message, the file's path, the user, and the level of a failure. Strings are static or in the
 * arena; NULL members are left out.
 */
struct stream_log_members {
	const char *message;
	const char *path;
	const char *username;
	enum log_level failure; /* level of the line if the request fails; 0: INFO */
};
void stream_set_log_members(struct stream *s, const struct stream_log_members *members);

/*
 * The user of the request, which the daemon's gate takes from HTTP Basic; NULL if the request names
 * none. Copied into the arena.
 */
void stream_set_user(struct stream *s, const char *name);
const char *stream_user(const struct stream *s);

/*
 * Registers the callbacks and their data. Registering again replaces the handler, as a router does
 * when it passes a stream on. The loop delivers the body to the handler that was registered last.
 */
void stream_set_handler(struct stream *s, const struct stream_handler *handler, void *data);
void *stream_data(const struct stream *s);

/*
 * Marks the body as secret: as a head, it is read through buffers that are wiped after use. The
 * handler wipes the bytes that it received.
 */
void stream_set_secret(struct stream *s);

/*
 * Allows the client to pause inside the body without limit, for bodies that a person or another
 * program types. Without this call, a client that sends no byte for SERVER_PROGRESS_TIMEOUT_MS
 * loses its connection.
 */
void stream_allow_pauses(struct stream *s);

/* Hold the stream, and end the hold (rule 3). One stream_unhold ends any number of stream_hold. */
void stream_hold(struct stream *s);
void stream_unhold(struct stream *s);

/*
 * Lends the socket to a worker, which reads the rest of a large body (rpc/http/body_loan.h). Until
 * stream_return no body is delivered, the loop does not read the socket, and the handler must not
 * end the stream. Returns false if the body can't be lent; then the bytes come by `body`. After
 * stream_return, bytes that the worker did not read come by `body`, and body_end comes. Each
 * successful stream_lend needs one stream_return, also after the ending of the stream.
 */
bool stream_lend(struct stream *s, struct body_loan *ret);
void stream_return(struct stream *s, struct body_loan *loan);

/* ---- the response ---- */

/* Adds a field to the response's head, or, once the head was sent, to its trailers. Copies. */
void stream_header(struct stream *s, const char *name, const char *value);
void stream_headerf(struct stream *s, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * As stream_header, but first removes the fields of that name that were added and are not sent yet.
 */
void stream_header_set(struct stream *s, const char *name, const char *value);

/*
 * Sends the head. `length_bytes` is the length of the body, or STREAM_LENGTH_UNKNOWN. If the
 * handler has sent fewer bytes when it calls stream_finish, the connection is cut; bytes beyond the
 * length are dropped. For HEAD the length is sent, and every byte of the body is dropped. Nothing
 * is written before the end of the current callback, so the head and the first bytes leave in one
 * write.
 */
void stream_head(struct stream *s, unsigned status, int64_t length_bytes);
bool stream_head_sent(const struct stream *s);

/* Moves all of `data` into the response. The head must have been sent. */
enum stream_flow stream_send(struct stream *s, struct evbuffer *data);

/* Copies n bytes into the response. */
enum stream_flow stream_send_bytes(struct stream *s, const void *p, size_t n);

/*
 * Sends n bytes without copying them: for large bytes, and for bytes that several streams share.
 * The bytes must stay valid until `release(p, n, arg)`, which may be called before this call
 * returns.
 */
enum stream_flow stream_send_ref(struct stream *s, const void *p, size_t n,
				 void (*release)(const void *p, size_t n, void *arg), void *arg);

/*
 * Sends `length` bytes of the file from `offset` on, by sendfile(2). A worker sends a large part,
 * and a part that is not in memory (rpc/http/file_send.h); the loop sends the others. Not for files
 * on NFS or FUSE: their pages come from another machine or process, and the loop could wait for
 * them. Borrows fd until `writable`, which comes once when the kernel has the last byte, or until
 * the ending; nothing else may be sent before that. The response must have a known length. If the
 * file turns out to be shorter, the connection is cut.
 */
void stream_send_file(struct stream *s, struct workers *workers, int fd, off_t offset,
		      uint64_t length);

/* Ends the response with the trailers. The rest of the request's body is read and dropped. */
void stream_finish(struct stream *s);

/* Aborts the response: the client sees that it is incomplete. */
void stream_reset(struct stream *s);

/* Sends a complete response. Copies `body`. `content_type` NULL: the response has no body. */
void stream_reply(struct stream *s, unsigned status, const char *content_type, const void *body,
		  size_t n);

/*
 * Sends the error response of a plain endpoint: {"code":status,"message":text}
 * (docs/compatibility/http.md).
 */
void stream_reply_error(struct stream *s, unsigned status, const char *message);

/* Returns the number of response bytes that wait to be written. */
size_t stream_pending_bytes(const struct stream *s);

/* ---- lifetime ---- */

/* Adds a reference, for work that may end after the stream (rule 5). */
struct stream *stream_ref(struct stream *s);
void stream_unref(struct stream *s);

/* Returns true until the ending (rule 4). */
bool stream_live(const struct stream *s);

#endif
