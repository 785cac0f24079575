/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call: one RPC, in messages. The contract of rpc/http/stream.h one floor up.
 *
 * A service is a table of `struct rpc_method`. It knows no HTTP, no framing, no codec: the
 * protocol files (connect.c, grpcweb.c) do the framing and the endings, codec.h the bytes.
 *
 *	open → (message …, end) → writable … → cancel
 *
 * The rules:
 *  1. rpc_send always takes the message. RPC_FULL means: produce no more until `writable`.
 *  2. After RPC_FULL, `writable` comes exactly once, from the loop.
 *  3. While held, no message is delivered and the socket is not read.
 *  4. There is exactly one ending: rpc_reply, rpc_finish or rpc_fail by the service, or `cancel`
 *     to it. Later calls do nothing, so that a late completion needs no check.
 *  5. `cancel` is the last callback. A reference (rpc_call_ref) keeps the memory, not the client.
 *
 * No callback comes from inside an rpc_* call. Everything runs on the loop.
 */
#ifndef RPC_CALL_H
#define RPC_CALL_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "rpc/codec/codec.h"
#include "rpc/http/stream.h"

struct evbuffer;
struct router;
struct rpc_call;

/*
 * A message, as sent and after inflating (docs/compatibility/rpc.md). Larger ones are
 * resource_exhausted.
 */
#define RPC_MESSAGE_MAX_BYTES (16u * 1024 * 1024)

/* For methods whose requests hold a few names: a limit that leaves room for the longest path. */
#define RPC_SMALL_MESSAGE_BYTES ((size_t)64 * 1024)

/* What a decoded message may come to in memory: many small fields cost more than their bytes. */
#define RPC_DECODED_MAX_BYTES (64u * 1024 * 1024)

enum rpc_kind {
	RPC_UNARY,
	RPC_SERVER_STREAM,
	RPC_CLIENT_STREAM,
};

enum rpc_flow {
	RPC_OK,
	RPC_FULL, /* produce no more until `writable` */
};

enum rpc_cancel {
	RPC_CANCEL_GONE,     /* the client went away, or broke the protocol */
	RPC_CANCEL_DEADLINE, /* the call's deadline passed; the client is told by the call layer */
	RPC_CANCEL_SHUTDOWN, /* the daemon ends; the client is told `unavailable` */
};

struct rpc_method {
	const char *service; /* "process.Process" */
	const char *name;    /* "Start" */
	enum rpc_kind kind;
	const ProtobufCMessageDescriptor *input;
	const ProtobufCMessageDescriptor *output;
	bool idempotent; /* free of side effects: Connect GET is allowed (unary only) */

	/* A message may have so many bytes, also inflated; 0: RPC_MESSAGE_MAX_BYTES. */
	size_t message_max_bytes;

	/* The code of a NUL in a string (compatibility/details 14, 80); 0: invalid_argument. */
	enum error_code nul_code;

	/* RPC_CLIENT_STREAM: the code of a bad message (compatibility/details 67); 0: its own. */
	enum error_code malformed_code;

	/*
	 * The call begins. `request` is the decoded message, borrowed from the call's arena (it
	 * lives as long as the call); NULL for RPC_CLIENT_STREAM, whose messages come one by one.
	 */
	void (*open)(struct rpc_call *call, const ProtobufCMessage *request);

	/*
	 * RPC_CLIENT_STREAM: the next message; it lives for the callback alone. And the end of
	 * the client's stream, after which the service answers with rpc_reply.
	 */
	void (*message)(struct rpc_call *call, const ProtobufCMessage *request);
	void (*end)(struct rpc_call *call);

	/* After RPC_FULL. May be NULL for methods that send but a little. */
	void (*writable)(struct rpc_call *call);

	/*
	 * RPC_SERVER_STREAM: nothing was sent for the keepalive interval; send a keepalive message.
	 * NULL: the method has none.
	 */
	void (*keepalive)(struct rpc_call *call);

	/* The call is over without the service's doing. May be NULL. */
	void (*cancel)(struct rpc_call *call, enum rpc_cancel why);
};

/* Adds the methods to the router; `service` is what rpc_call_service returns. Borrows both. */
void rpc_register(struct router *router, const struct rpc_method *methods, size_t n, void *service);

/* ---- the request ---- */

const struct rpc_method *rpc_call_method(const struct rpc_call *call);
void *rpc_call_service(const struct rpc_call *call);

/* The service's own state of this call. */
void rpc_call_set_data(struct rpc_call *call, void *data);
void *rpc_call_data(const struct rpc_call *call);

struct arena *rpc_call_arena(struct rpc_call *call);
struct loop *rpc_call_loop(const struct rpc_call *call);

/* A field of the request's head by its lower-case name, or NULL. */
const char *rpc_call_header(const struct rpc_call *call, const char *name);

/* The request's head, for those few who need all of it. */
const struct http_head *rpc_call_head(const struct rpc_call *call);

/* The number of the request, for the log: stream_id. */
uint64_t rpc_call_operation(const struct rpc_call *call);

/* The user that HTTP Basic named, or NULL: stream_user. */
const char *rpc_call_user(const struct rpc_call *call);

/* Milliseconds that the client gave the call, by whatever protocol, or -1 for no bound. */
int64_t rpc_call_timeout_ms(const struct rpc_call *call);

/*
 * Milliseconds that Connect-Timeout-Ms gives, or -1 for none: for Start, whose process it limits
 * whatever the protocol (compatibility/details 60). The call's own deadline is kept by the call
 * layer.
 */
int64_t rpc_call_connect_timeout_ms(const struct rpc_call *call);

/* Rule 3. These do not count. */
void rpc_hold(struct rpc_call *call);
void rpc_unhold(struct rpc_call *call);

/* ---- the response ---- */

/* Adds a field to the response's head (before the first message), or to its trailers. Copies. */
void rpc_header(struct rpc_call *call, const char *name, const char *value);
void rpc_trailer(struct rpc_call *call, const char *name, const char *value);

/* RPC_SERVER_STREAM: the next message. Borrows it for the call. */
enum rpc_flow rpc_send(struct rpc_call *call, const ProtobufCMessage *message);

/* RPC_UNARY, RPC_CLIENT_STREAM: the answer, and the ending. Borrows the message. */
void rpc_reply(struct rpc_call *call, const ProtobufCMessage *message);

/*
 * As rpc_reply, for an answer that the service encoded itself in rpc_call_codec's codec while it
 * walked something large. Takes the bytes out of `encoded`.
 */
void rpc_reply_encoded(struct rpc_call *call, struct evbuffer *encoded);
enum rpc_codec rpc_call_codec(const struct rpc_call *call);

/* RPC_SERVER_STREAM: the good ending. */
void rpc_finish(struct rpc_call *call);

/* The bad ending. Copies the error. */
void rpc_fail(struct rpc_call *call, const struct error *err);

/* One detail of an error to come (google.protobuf.Any: full type name and packed bytes). Copies. */
void rpc_error_detail(struct rpc_call *call, const char *type, const void *value, size_t n);

/*
 * A message encoded once and sent to many calls: the output of a process with several readers.
 * A frame is made for an encoding (codec and compression); rpc_call_encoding tells a call's.
 */
#define RPC_ENCODINGS 4
struct rpc_frame;
unsigned rpc_call_encoding(const struct rpc_call *call); /* 0 … RPC_ENCODINGS - 1 */
struct rpc_frame *rpc_frame_new(unsigned encoding, const ProtobufCMessage *message);
struct rpc_frame *rpc_frame_ref(struct rpc_frame *frame);
void rpc_frame_unref(struct rpc_frame *frame);				      /* NULL is fine */
size_t rpc_frame_memory(const struct rpc_frame *frame);			      /* of memory */
enum rpc_flow rpc_send_frame(struct rpc_call *call, struct rpc_frame *frame); /* borrows */

/* Bytes of the response that wait to be written, and whether the call is still open. */
size_t rpc_call_pending_bytes(const struct rpc_call *call);
bool rpc_call_live(const struct rpc_call *call);

struct rpc_call *rpc_call_ref(struct rpc_call *call);
void rpc_call_unref(struct rpc_call *call);

/*
 * Refuses a request before it became a call (an unknown user): in the shape its content type asks
 * for, as a stream's end, a unary error, or a plain one.
 */
void rpc_refuse(struct stream *s, const struct error *err);

#endif
