/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call: one RPC, as messages. Its contract is the contract of rpc/http/stream.h, with messages
 * instead of bytes.
 *
 * A service is a table of `struct rpc_method`. The protocol files (connect.c, grpcweb.c) do the
 * framing and the endings; codec.h encodes and decodes messages.
 *
 *	open → (message …, end) → writable … → cancel
 *
 * The rules:
 *
 *  1. rpc_send always accepts the message. RPC_FULL means: produce no more until `writable`.
 *  2. After RPC_FULL, `writable` is called exactly once, from the loop.
 *  3. While the call is held, no message is delivered and the socket is not read.
 *  4. There is exactly one ending: the service calls rpc_reply, rpc_finish or rpc_fail, or gets
 *     `cancel`. Later calls do nothing, so a late completion needs no check.
 *  5. `cancel` is the last callback. A reference (rpc_call_ref) keeps the memory, not the client.
 *
 * No callback is called inside an rpc_* call. Everything runs on the loop.
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
 * The largest message, compressed and after inflating (docs/compatibility/rpc.md). A larger one is
 * resource_exhausted.
 */
#define RPC_MESSAGE_MAX_BYTES (16u * 1024 * 1024)

/* The message limit of methods whose requests contain a few names; it allows the longest path. */
#define RPC_SMALL_MESSAGE_BYTES ((size_t)64 * 1024)

/*
 * The maximum memory of a decoded message. Many small fields use more memory than bytes on the
 * wire.
 */
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
	RPC_CANCEL_GONE,     /* the client disconnected, or violated the protocol */
	RPC_CANCEL_DEADLINE, /* the deadline passed; the call layer tells the client */
	RPC_CANCEL_SHUTDOWN, /* the daemon ends; the call layer sends `unavailable` */
};

struct rpc_method {
	const char *service; /* "process.Process" */
	const char *name;    /* "Start" */
	enum rpc_kind kind;
	const ProtobufCMessageDescriptor *input;
	const ProtobufCMessageDescriptor *output;
	bool idempotent; /* has no side effects: Connect GET is allowed (unary only) */

	/* The maximum size of a message, compressed and inflated; 0: RPC_MESSAGE_MAX_BYTES. */
	size_t message_max_bytes;

	/*
	 * The error code for a NUL in a string (compatibility/details 14, 80); 0: invalid_argument.
	 */
	enum error_code nul_code;

	/*
	 * RPC_CLIENT_STREAM: the error code for a malformed message (compatibility/details 67); 0:
	 * the code of the decoder.
	 */
	enum error_code malformed_code;

	/*
	 * The call begins. `request` is the decoded message; it lies in the call's arena and lives
	 * as long as the call. NULL for RPC_CLIENT_STREAM, whose messages are passed to `message`.
	 */
	void (*open)(struct rpc_call *call, const ProtobufCMessage *request);

	/*
	 * RPC_CLIENT_STREAM: `message` gets the next message, which is valid during the callback.
	 * `end` reports the end of the client's stream; the service then calls rpc_reply.
	 */
	void (*message)(struct rpc_call *call, const ProtobufCMessage *request);
	void (*end)(struct rpc_call *call);

	/* Called after RPC_FULL. May be NULL for methods that send little. */
	void (*writable)(struct rpc_call *call);

	/*
	 * RPC_SERVER_STREAM: no message was sent for the keepalive interval; send a keepalive
	 * message. NULL: the method has no keepalive.
	 */
	void (*keepalive)(struct rpc_call *call);

	/* The call ended, and the service did not end it. May be NULL. */
	void (*cancel)(struct rpc_call *call, enum rpc_cancel why);
};

/* Adds the methods to the router. Borrows them and `service`, which rpc_call_service returns. */
void rpc_register(struct router *router, const struct rpc_method *methods, size_t n, void *service);

/* ---- the request ---- */

const struct rpc_method *rpc_call_method(const struct rpc_call *call);
void *rpc_call_service(const struct rpc_call *call);

/* The data of the service for this call. */
void rpc_call_set_data(struct rpc_call *call, void *data);
void *rpc_call_data(const struct rpc_call *call);

struct arena *rpc_call_arena(struct rpc_call *call);
struct loop *rpc_call_loop(const struct rpc_call *call);

/* Returns a field of the request's head by its lower-case name, or NULL. */
const char *rpc_call_header(const struct rpc_call *call, const char *name);

/* Returns the head of the request. */
const struct http_head *rpc_call_head(const struct rpc_call *call);

/* Returns number and trace context of the request: stream_log_request. */
struct log_request rpc_call_log_request(const struct rpc_call *call);

/* Returns the user of HTTP Basic, or NULL: stream_user. */
const char *rpc_call_user(const struct rpc_call *call);

/* Returns the timeout that the client set, in any protocol, in milliseconds; -1: none. */
int64_t rpc_call_timeout_ms(const struct rpc_call *call);

/*
 * Returns the value of Connect-Timeout-Ms, or -1. Start limits its process by this field in every
 * protocol (compatibility/details 60). The call layer itself keeps the deadline of the call.
 */
int64_t rpc_call_connect_timeout_ms(const struct rpc_call *call);

/* Hold the call, and end the hold (rule 3). One rpc_unhold ends any number of rpc_hold. */
void rpc_hold(struct rpc_call *call);
void rpc_unhold(struct rpc_call *call);

/* ---- the response ---- */

/* Adds a field to the response's head (before the first message), or to its trailers. Copies. */
void rpc_header(struct rpc_call *call, const char *name, const char *value);
void rpc_trailer(struct rpc_call *call, const char *name, const char *value);

/* RPC_SERVER_STREAM: sends a message. Borrows it. */
enum rpc_flow rpc_send(struct rpc_call *call, const ProtobufCMessage *message);

/* RPC_UNARY, RPC_CLIENT_STREAM: sends the response and ends the call. Borrows the message. */
void rpc_reply(struct rpc_call *call, const ProtobufCMessage *message);

/*
 * As rpc_reply, for a large response that the service has encoded itself, with the codec of
 * rpc_call_codec. Moves the bytes out of `encoded`.
 */
void rpc_reply_encoded(struct rpc_call *call, struct evbuffer *encoded);
enum rpc_codec rpc_call_codec(const struct rpc_call *call);

/* RPC_SERVER_STREAM: ends the call with success. */
void rpc_finish(struct rpc_call *call);

/* Ends the call with an error. Copies it. */
void rpc_fail(struct rpc_call *call, const struct error *err);

/* Adds a detail to a later rpc_fail (google.protobuf.Any: full type name, packed bytes). Copies. */
void rpc_error_detail(struct rpc_call *call, const char *type, const void *value, size_t n);

/*
 * A frame is a message that is encoded once and sent to many calls, such as the output of a process
 * with several readers. It can be sent to calls with the same encoding (codec and compression):
 * rpc_call_encoding.
 */
#define RPC_ENCODINGS 4
struct rpc_frame;
unsigned rpc_call_encoding(const struct rpc_call *call); /* 0 … RPC_ENCODINGS - 1 */
struct rpc_frame *rpc_frame_new(unsigned encoding, const ProtobufCMessage *message);
struct rpc_frame *rpc_frame_ref(struct rpc_frame *frame);
void rpc_frame_unref(struct rpc_frame *frame);				      /* NULL is fine */
enum rpc_flow rpc_send_frame(struct rpc_call *call, struct rpc_frame *frame); /* borrows */

/*
 * Return the number of response bytes that wait to be written, and whether the call is still open.
 */
size_t rpc_call_pending_bytes(const struct rpc_call *call);
bool rpc_call_live(const struct rpc_call *call);

struct rpc_call *rpc_call_ref(struct rpc_call *call);
void rpc_call_unref(struct rpc_call *call);

/*
 * Refuses a request that did not become a call, for instance because its user is unknown. The
 * content type of the request decides the form of the error: end of a stream, unary error, or plain
 * error.
 */
void rpc_refuse(struct stream *s, const struct error *err);

#endif
