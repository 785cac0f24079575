/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a call, for call.c, call_read.c, frame.c and the protocol files (connect.c,
 * grpcweb.c). Services include rpc/call.h alone.
 *
 * A call lives in the arena of its stream, and a reference to it is one to the stream.
 */
#ifndef RPC_CALL_IMPL_H
#define RPC_CALL_IMPL_H

#include "base/loop.h"
#include "rpc/call.h"

/* The envelope of a message in a stream: a byte of flags and four of length, big endian. */
#define RPC_ENVELOPE_BYTES   5
#define RPC_FLAG_COMPRESSED  0x01u
#define RPC_FLAG_CONNECT_END 0x02u
#define RPC_FLAG_WEB_TRAILER 0x80u

/*
 * Keepalive-Ping-Interval in seconds. Without it, or out of this range, the router's default holds.
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

/* What differs between the protocols. Nothing of this calls back into a service. */
struct rpc_protocol {
	/* Messages come and go in envelopes. (A unary call of Connect has bare bodies.) */
	bool enveloped;
	/* The flag of an envelope that ends the client's stream; 0: there is none. */
	uint8_t end_flag;
	/* Reads the request's fields: compression, deadline, version. 0, or -1. */
	int (*accept)(struct rpc_call *call, struct error *err);
	/*
	 * Adds the protocol's own fields to the head of a response that is, or begins with, a
	 * message.
	 */
	void (*head)(struct rpc_call *call);
	/* The ending, good (NULL) or bad. The head may not have been sent. */
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
	const char *content_type; /* of the answer */
	enum rpc_codec codec;
	bool gzip_in; /* compressed messages are agreed (unary: the body is compressed) */
	bool gzip_out;

	/* The request (call_read.c). */
	struct workers *workers;	 /* for large messages; NULL: there are none */
	struct evbuffer *in;		 /* gathered; NULL when there is nothing */
	size_t charged_bytes;		 /* of the budget, for `in` */
	struct arena messages;		 /* RPC_CLIENT_STREAM: the message in hand */
	struct defer pump;		 /* goes on after rpc_unhold */
	bool have_message;		 /* RPC_SERVER_STREAM: the one message was read */
	bool in_ended;			 /* the client's stream has ended */
	bool input_done;		 /* its last message was delivered */
	bool opened;			 /* the service knows of the call */
	bool held;			 /* by the service */
	bool decoding;			 /* a worker has a message: the stream is held, too */
	bool half_closed;		 /* the client closed its side meanwhile */
	const ProtobufCMessage *request; /* RPC_SERVER_STREAM: until its end is seen */

	/* The response. */
	struct rpc_detail *details;
	struct rpc_field *trailers;
	bool ended;

	/* Deadline and keepalive, of RPC_SERVER_STREAM. */
	int64_t timeout_ms; /* -1: none */
	struct timer deadline;
	struct timer keepalive;
	uint64_t keepalive_ms; /* the router's default until the request's field was read */
	uint64_t last_sent_ms;
};

/* What a router's path leads to. */
struct rpc_route {
	const struct rpc_method *method;
	void *service;
	struct router *router;
};

/* The most bytes that a message of the method may have, also inflated; and the error above them. */
size_t rpc_message_max_bytes(const struct rpc_method *method);
int rpc_message_too_large(const struct rpc_method *method, struct error *err);

/* Begins to read the request's messages: registers the stream's handler. */
void rpc_call_read(struct rpc_call *call);

/* The call's good or bad ending, whoever asks for it; the service is not told. */
void rpc_call_end(struct rpc_call *call, const struct error *err);

/* Frees what the reading side holds. */
void rpc_call_drop_input(struct rpc_call *call);

/* `gone`, `shutdown`, the deadline: tells the service, then the client where err is not NULL. */
void rpc_call_cancel(struct rpc_call *call, enum rpc_cancel why, const struct error *err);

/* The router's function of every RPC path; `arg` is its struct rpc_route. */
void rpc_call_open(struct stream *s, void *arg);

/* Starts the timers of a stream, when the service is about to learn of the call. */
void rpc_call_start_timers(struct rpc_call *call);

/* Sends a head, if none was sent, and a frame. */
enum rpc_flow rpc_call_send(struct rpc_call *call, struct rpc_frame *frame);

/*
 * Adds what proxies need to know of a server's stream. nginx collects a response in buffers unless
 * X-Accel-Buffering forbids it (ngx_http_proxy_module, proxy_buffering).
 */
void rpc_put_stream_fields(struct rpc_call *call);

/*
 * Whether a comma-or-space separated list names gzip, by connect-go's rules (compatibility/details
 * 63).
 */
bool rpc_accepts_gzip(const char *list);

/*
 * Reads a compression's name: 0 with *ret_gzip, or -1 with ERROR_UNIMPLEMENTED for one that is not
 * known. NULL and "" are identity.
 */
int rpc_parse_compression(const char *name, bool *ret_gzip, struct error *err);

/*
 * Connect-Timeout-Ms (compatibility/details 57): -1 with ERROR_INVALID_ARGUMENT; *ret is -1 for
 * none.
 */
int rpc_parse_timeout_ms(const char *text, int64_t *ret, struct error *err);

/* Connect's GET of a method without side effects (connect.c). */
void rpc_connect_get(struct stream *s, const struct rpc_route *route);

/* The call of a request whose message did not come in its body; `request` is that message. */
void rpc_call_read_message(struct rpc_call *call, const void *p, size_t n);

/* A frame's bytes, envelope first. */
const char *rpc_frame_bytes(const struct rpc_frame *frame, size_t *ret_bytes);

/* Fills in the five bytes before a message. */
void rpc_envelope_write(char *at, uint8_t flags, size_t n);

#endif
