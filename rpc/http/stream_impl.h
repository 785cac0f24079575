/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Internals of a stream, for stream.c and for transports (http1.c). Handlers include only
 * rpc/http/stream.h.
 *
 * stream.c keeps the rules (flow, the one ending, the announced length); a transport encodes the
 * bytes.
 */
#ifndef RPC_HTTP_STREAM_IMPL_H
#define RPC_HTTP_STREAM_IMPL_H

#include "base/budget.h"
#include "base/loop.h"
#include "rpc/http/stream.h"

struct stream_field {
	const char *name; /* in the arena */
	const char *value;
	struct stream_field *next;
};

/* The operations of a transport. None of them calls back into the stream. */
struct stream_transport {
	/* Writes the head: status and s->fields. */
	void (*send_head)(struct stream *s, unsigned status, int64_t length_bytes);
	/*
	 * Begins a piece of n body bytes. Returns the buffer to which exactly these bytes must be
	 * appended before send_end. The transport writes at the end of the loop's turn.
	 */
	struct evbuffer *(*send_begin)(struct stream *s, size_t n);
	void (*send_end)(struct stream *s);
	void (*send_file)(struct stream *s, struct workers *workers, int fd, off_t offset,
			  uint64_t length);
	/* The response is complete; s->fields are the trailers. */
	void (*finish)(struct stream *s);
	void (*reset)(struct stream *s);
	/* The hold, or the handler's interest in half_closed, has changed. */
	void (*update)(struct stream *s);
	/* As stream_lend. NULL: a body can't be lent. */
	bool (*lend)(struct stream *s, struct body_loan *ret);
	/* The loan was returned; the worker has read `taken` bytes. */
	void (*take_back)(struct stream *s, uint64_t taken);
	size_t (*pending_bytes)(const struct stream *s);
};

struct stream {
	unsigned refs;
	struct arena arena;
	struct http_head head;
	struct loop *loop;
	struct budget_share share;
	struct log_request log_request;
	unsigned status;     /* status of the response; 0: not sent yet */
	const char *outcome; /* the error for the log line */
	struct stream_log_members log;
	const char *user;

	const struct stream_transport *transport;
	void *transport_data; /* NULL after stream_detach */

	const struct stream_handler *handler;
	void *data;

	struct stream_field *fields; /* not sent yet, in order */
	struct stream_field **fields_tail;

	int64_t length_left; /* remaining bytes of the announced length; or STREAM_LENGTH_UNKNOWN */
	bool head_sent;
	bool is_head_request;
	bool held;
	bool may_pause;	   /* stream_allow_pauses */
	bool full;	   /* STREAM_FULL was returned, and `writable` must follow */
	bool sending_file; /* stream_send_file is in progress, and `writable` must follow */
	bool half_close_told;
	bool secret;	 /* buffers of its body are wiped */
	bool body_ended; /* body_end was delivered */
	bool quiet;	 /* no line in the log */
	bool restricted; /* stream_is_restricted */
	bool ended;	 /* rule 4: finish, reset or gone */
};

/*
 * Creates a stream with one reference, which belongs to the transport. The transport fills in
 * s->head, in s->arena.
 */
struct stream *stream_new(struct loop *loop, struct budget *budget,
			  const struct stream_transport *transport, void *transport_data);

/*
 * Detaches the transport: delivers `gone` if there was no ending, and drops the transport's
 * reference.
 */
void stream_detach(struct stream *s);

/* Deliver events to the handler, from the loop. They do nothing after the ending. */
void stream_deliver_body(struct stream *s, struct evbuffer *data);
void stream_deliver_body_end(struct stream *s);
void stream_deliver_half_closed(struct stream *s);
void stream_deliver_gone(struct stream *s);
void stream_deliver_shutdown(struct stream *s);

/* From the loop, after bytes were written: calls `writable` if it was promised and is due. */
void stream_deliver_drained(struct stream *s);

#endif
