/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a stream, for stream.c and for the transports that bring requests (http1.c).
 * Handlers include rpc/http/stream.h alone.
 *
 * stream.c keeps the rules (flow, the one ending, the promised length); a transport knows the
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

/* What a transport does for its streams. Nothing of this calls back into the stream. */
struct stream_transport {
	/* Writes the head: status and s->fields. */
	void (*send_head)(struct stream *s, unsigned status, int64_t length_bytes);
	/*
	 * Begins a piece of n body bytes: returns the buffer to append just these to; then
	 * send_end. The transport writes what it has at the end of the loop's turn.
	 */
	struct evbuffer *(*send_begin)(struct stream *s, size_t n);
	void (*send_end)(struct stream *s);
	void (*send_file)(struct stream *s, struct workers *workers, int fd, off_t offset,
			  uint64_t length);
	/* The response is complete; s->fields are the trailers. */
	void (*finish)(struct stream *s);
	void (*reset)(struct stream *s);
	/* Holding, or who hears of a half-close, has changed. */
	void (*update)(struct stream *s);
	/* As stream_lend. NULL: a body can't be lent. */
	bool (*lend)(struct stream *s, struct body_loan *ret);
	/* What was lent is back; `taken` bytes of it were read. */
	void (*take_back)(struct stream *s, uint64_t taken);
	size_t (*pending_bytes)(const struct stream *s);
};

struct stream {
	unsigned refs;
	struct arena arena;
	struct http_head head;
	struct loop *loop;
	struct budget_share share;
	uint64_t id;
	unsigned status;     /* of the response; 0: none yet */
	const char *outcome; /* what the log says besides; static */
	const char *user;

	const struct stream_transport *transport;
	void *transport_data; /* NULL once the transport has let go of the stream */

	const struct stream_handler *handler;
	void *data;

	struct stream_field *fields; /* not sent yet, in order */
	struct stream_field **fields_tail;

	int64_t length_left; /* of the promised length; STREAM_LENGTH_UNKNOWN */
	bool head_sent;
	bool is_head_request;
	bool held;
	bool may_pause;	   /* stream_allow_pauses */
	bool full;	   /* FULL was said and `writable` is owed */
	bool sending_file; /* the same, for stream_send_file */
	bool half_close_told;
	bool secret;	 /* its body is not to stay in any buffer */
	bool body_ended; /* body_end was delivered */
	bool quiet;	 /* the log does not speak of it */
	bool ended;	 /* rule 4: finish, reset or gone */
};

/* A stream with one reference, the transport's. The transport fills in s->head from s->arena. */
struct stream *stream_new(struct loop *loop, struct budget *budget,
			  const struct stream_transport *transport, void *transport_data);

/*
 * The transport lets go: `gone` comes if there was no ending yet. Gives up the transport's
 * reference.
 */
void stream_detach(struct stream *s);

/* From the loop: hand on what came. Nothing happens after the ending. */
void stream_deliver_body(struct stream *s, struct evbuffer *data);
void stream_deliver_body_end(struct stream *s);
void stream_deliver_half_closed(struct stream *s);
void stream_deliver_gone(struct stream *s);
void stream_deliver_shutdown(struct stream *s);

/* From the loop, after bytes were written: says `writable` where it is owed and due. */
void stream_deliver_drained(struct stream *s);

#endif
