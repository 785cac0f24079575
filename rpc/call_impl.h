/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Internals of a call, for call.c, call_read.c, frame.c and the protocol files (connect.c,
 * grpcweb.c). Services include only rpc/call.h.
 *
 * A call lies in the arena of its stream, and a reference to the call is a reference to the stream.
 */
#ifndef RPC_CALL_IMPL_H
#define RPC_CALL_IMPL_H

#include "base/loop.h"
#include "rpc/call.h"

/*
 * The envelope of a message in a stream: one byte of flags, and the length in four bytes, big
 * endian.
 */
#define RPC_ENVELOPE_BYTES   5
#define RPC_FLAG_COMPRESSED  0x01u
#define RPC_FLAG_CONNECT_END 0x02u
#define RPC_FLAG_WEB_TRAILER 0x80u

/*
 * The accepted range of Keepalive-Ping-Interval in seconds. Outside this range, or without the
 * field, the router's default is used.
 */
#define RPC_KEEPALIVE_MIN_S 1
#define RPC_KEEPALIVE_MAX_S (24 * 3600)

struct rpc_detail {
	const char *type;
	const void *value;
	size_t value_bytes;
	struct rpc_detail *next;
};

struct rpc_field {
	const char *name;
	const char *value;
	struct rpc_field *next;
};

/* The operations of a protocol. None of them calls back into a service. */
struct rpc_protocol {
	/* Messages have envelopes. (A unary call of Connect has bare bodies.) */
	bool enveloped;
	/* The flag of an envelope that ends the client's stream; 0: there is none. */
	uint8_t end_flag;
	/* Parses the request's fields: compression, deadline, version. 0 or -1. */
	int (*accept)(struct rpc_call *call, struct error *err);
	/*
	 * Adds the protocol's own fields to the head of a response that is, or begins with, a
	 * message.
	 */
	void (*head)(struct rpc_call *call);
	/* Sends the ending: success (err NULL) or an error. The head may not have been sent yet. */
	void (*end)(struct rpc_call *call, const struct error *err);
};

extern const struct rpc_protocol rpc_connect_unary;
extern const struct rpc_protocol rpc_connect_stream;
extern const struct rpc_protocol rpc_grpcweb;

struct rpc_call {
	struct stream *stream;
	const struct rpc_method *method;
	void *service;
	void *data;
	const struct rpc_protocol *protocol;
	const char *content_type; /* of the response */
	enum rpc_codec codec;
	bool gzip_in; /* compressed messages are agreed (unary: the body is compressed) */
	bool gzip_out;

	/* The request (call_read.c). */
	struct workers *workers;	 /* for large messages; NULL: there are none */
	struct evbuffer *in;		 /* gathered bytes; NULL: none */
	size_t charged_bytes;		 /* bytes charged to the budget for `in` */
	struct arena messages;		 /* RPC_CLIENT_STREAM: the current message */
	struct defer pump;		 /* continues after rpc_unhold */
	bool have_message;		 /* RPC_SERVER_STREAM: the one message was read */
	bool in_ended;			 /* the client's stream has ended */
	bool input_done;		 /* the last message was delivered */
	bool opened;			 /* `open` was called */
	bool held;			 /* by the service */
	bool decoding;			 /* a worker decodes a message; the stream is held, too */
	bool half_closed;		 /* the client closed its side in the meantime */
	const ProtobufCMessage *request; /* RPC_SERVER_STREAM: waits for in_ended */

	/* The response. */
	struct rpc_detail *details;
	struct rpc_field *trailers;
	bool ended;

	/* The log (call_log.c). */
	bool logged;				/* the call's end needs a line */
	const ProtobufCMessage *logged_request; /* RPC_UNARY: for that line */

	/* RPC_SERVER_STREAM: deadline and keepalive. */
	int64_t timeout_ms; /* -1: none */
	struct timer deadline;
	struct timer keepalive;
	uint64_t keepalive_ms; /* the router's default until the field of the request is read */
	uint64_t last_sent_ms;
};

/* The route of an RPC's path. */
struct rpc_route {
	const struct rpc_method *method;
	void *service;
	struct router *router;
};

/*
 * rpc_message_max_bytes returns the maximum size of a message, compressed and inflated.
 * rpc_message_too_large fills in the error for larger ones and returns -1.
 */
size_t rpc_message_max_bytes(const struct rpc_method *method);
int rpc_message_too_large(const struct rpc_method *method, struct error *err);

/* Starts to read the request's messages: registers the stream's handler. */
void rpc_call_read(struct rpc_call *call);

/* Ends the call with success (err NULL) or an error. Does not notify the service. */
void rpc_call_end(struct rpc_call *call, const struct error *err);

/* Frees the memory of the reading side. */
void rpc_call_drop_input(struct rpc_call *call);

/*
 * Cancels the call, because of `gone`, `shutdown` or the deadline: calls the service's `cancel`,
 * then sends `err` to the client unless it is NULL.
 */
void rpc_call_cancel(struct rpc_call *call, enum rpc_cancel why, const struct error *err);

/* The router_fn of all RPC paths; `arg` is a struct rpc_route. */
void rpc_call_open(struct stream *s, void *arg);

/* Starts the timers of a stream. Call it before `open`. */
void rpc_call_start_timers(struct rpc_call *call);

/*
 * Adds the response fields of a server stream for proxies. nginx collects a response in buffers
 * unless X-Accel-Buffering forbids it (ngx_http_proxy_module, proxy_buffering).
 */
void rpc_put_stream_fields(struct rpc_call *call);

/*
 * Returns true if a list separated by commas or spaces names gzip, by connect-go's rules
 * (compatibility/details 63).
 */
bool rpc_accepts_gzip(const char *list);

/*
 * Parses the name of a compression. 0 and *ret_gzip, or -1 with ERROR_UNIMPLEMENTED for an unknown
 * name. NULL and "" are identity.
 */
int rpc_parse_compression(const char *name, bool *ret_gzip, struct error *err);

/*
 * Parses Connect-Timeout-Ms (compatibility/details 57). 0, or -1 with ERROR_INVALID_ARGUMENT; *ret
 * is -1 if there is no timeout.
 */
int rpc_parse_timeout_ms(const char *text, int64_t *ret, struct error *err);

/* Handles Connect's GET of a method without side effects (connect.c). */
void rpc_connect_get(struct stream *s, const struct rpc_route *route);

/* Processes a request whose message, n bytes at p, did not come in its body. */
void rpc_call_read_message(struct rpc_call *call, const void *p, size_t n);

/* Returns the bytes of a frame, beginning with the envelope. */
const char *rpc_frame_bytes(const struct rpc_frame *frame, size_t *ret_bytes);

/* Writes the envelope of a message of n bytes. */
void rpc_envelope_write(char *at, uint8_t flags, size_t n);

#endif
