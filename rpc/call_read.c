/*
 * Calls: the client's side of them, from the body's bytes to the service's messages.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <stdlib.h>

#include "base/budget.h"
#include "base/buffer.h"
#include "base/mem.h"
#include "rpc/call_impl.h"
#include "rpc/codec/gzip.h"

static void call_pump(void *arg);

/* ---- what is gathered ---- */

void rpc_call_drop_input(struct rpc_call *call)
{
	if (call->pump.run)
		defer_cancel(&call->pump);
	arena_clear(&call->messages);
	if (!call->in)
		return;
	evbuffer_free(call->in);
	call->in = NULL;
	budget_share_give(stream_share(call->stream), call->charged_bytes);
	call->charged_bytes = 0;
}

/* Takes what came, within the budget. 0, or -1. */
static int gather(struct rpc_call *call, struct evbuffer *data, struct error *err)
{
	size_t n = evbuffer_get_length(data);

	if (!call->in) {
		call->in = evbuffer_new();
		if (!call->in)
			fatal("evbuffer_new failed");
	}
	if (!budget_share_take(stream_share(call->stream), n))
		return error_set(err, ERROR_RESOURCE_EXHAUSTED,
				 "too many bytes of requests wait in the daemon");
	call->charged_bytes += n;
	buffer_gather(call->in, data);
	return 0;
}

/* Drops n bytes from the front of what was gathered. */
static void consume(struct rpc_call *call, size_t n)
{
	evbuffer_drain(call->in, n);
	budget_share_give(stream_share(call->stream), n);
	call->charged_bytes -= n;
}

/* ---- messages ---- */

/* Ends the call for a message that can't be read. */
static void malformed(struct rpc_call *call, struct error *err)
{
	if (call->method->malformed_code && err->code != ERROR_RESOURCE_EXHAUSTED)
		err->code = call->method->malformed_code;
	if (call->opened)
		rpc_call_cancel(call, RPC_CANCEL_GONE, err);
	else
		rpc_call_end(call, err);
}

static size_t message_max_bytes(const struct rpc_call *call)
{
	size_t own = call->method->message_max_bytes;

	return own ? own : RPC_MESSAGE_MAX_BYTES;
}

static int too_large(const struct rpc_call *call, struct error *err)
{
	return error_set(err, ERROR_RESOURCE_EXHAUSTED,
			 "message is larger than configured max %zu bytes",
			 message_max_bytes(call));
}

/* Decodes the n bytes at p, which may be compressed, into the arena. */
static int read_message(struct rpc_call *call, const void *p, size_t n, bool compressed,
			struct arena *arena, ProtobufCMessage **ret, struct error *err)
{
	enum rpc_codec codec = call->codec;
	char *inflated = NULL;
	size_t before, room;
	int r;

	/* An empty envelope is the default message in either codec (details 65): as in protobuf. */
	if (n == 0 && call->protocol->enveloped)
		codec = RPC_CODEC_PROTO;
	/* An empty body that is said to be compressed is an empty message (as connect-go has it). */
	if (compressed && n) {
		r = gzip_decompress(p, n, message_max_bytes(call), &inflated, &n);
		if (r == -EMSGSIZE)
			return too_large(call, err);
		if (r < 0)
			return error_set(err, ERROR_INVALID_ARGUMENT, "decompress: corrupt gzip");
		p = inflated;
	}
	before = arena->total_bytes;
	room = budget_share_room(stream_share(call->stream));
	room = room ? room : 1; /* a limit of 0 is none */
	arena->limit_bytes = before + (room < RPC_DECODED_MAX_BYTES ? room : RPC_DECODED_MAX_BYTES);
	r = codec_decode(codec, call->method->input, p, n, call->method->nul_code, arena, ret, err);
	arena->limit_bytes = 0;
	free(inflated);
	/* A message that lives as long as the call. (A streamed one is freed after its callback.) */
	if (r == 0 && arena != &call->messages &&
	    !budget_share_take(stream_share(call->stream), arena->total_bytes - before))
		return error_set(err, ERROR_RESOURCE_EXHAUSTED,
				 "too many bytes of requests wait in the daemon");
	return r;
}

/* The service learns of the call. */
static void open_call(struct rpc_call *call, const ProtobufCMessage *request)
{
	call->opened = true;
	rpc_call_start_timers(call);
	call->method->open(call, request);
}

void rpc_call_read_message(struct rpc_call *call, const void *p, size_t n)
{
	ProtobufCMessage *request;
	struct error err;

	if (read_message(call, p, n, call->gzip_in, rpc_call_arena(call), &request, &err) < 0)
		malformed(call, &err);
	else
		open_call(call, request);
}

/* ---- bare bodies: the unary calls of Connect ---- */

static void bare_body(struct stream *s, struct evbuffer *data)
{
	struct rpc_call *call = stream_data(s);
	struct error err;

	if (call->charged_bytes + evbuffer_get_length(data) > message_max_bytes(call))
		too_large(call, &err);
	else if (gather(call, data, &err) == 0)
		return;
	rpc_call_end(call, &err);
}

static void bare_body_end(struct stream *s)
{
	struct rpc_call *call = stream_data(s);
	struct evbuffer *in = call->in;
	size_t n = in ? evbuffer_get_length(in) : 0;
	ProtobufCMessage *request;
	struct error err;
	int r;

	r = read_message(call, n ? evbuffer_pullup(in, -1) : NULL, n, call->gzip_in,
			 rpc_call_arena(call), &request, &err);
	rpc_call_drop_input(call);
	if (r < 0)
		malformed(call, &err);
	else
		open_call(call, request);
}

/* ---- enveloped bodies ---- */

/* An envelope that is complete in `in`. */
struct envelope {
	uint8_t flags;
	const void *p;
	size_t n;
};

/*
 * Looks at the next envelope. 1: it is complete; 0: more bytes are needed; -1: refused, with the
 * reason. details 65.
 */
static int next_envelope(struct rpc_call *call, struct envelope *ret, struct error *err)
{
	size_t have = call->in ? evbuffer_get_length(call->in) : 0, n;
	unsigned char head[RPC_ENVELOPE_BYTES];

	if (have < sizeof(head)) {
		if (have && call->in_ended)
			return error_set(err, ERROR_INVALID_ARGUMENT,
					 "protocol error: incomplete envelope");
		return 0;
	}
	evbuffer_copyout(call->in, head, sizeof(head));
	n = (size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 | head[4];
	ret->flags = head[0];
	if (n > message_max_bytes(call))
		return too_large(call, err);
	if (have < sizeof(head) + n) {
		if (call->in_ended)
			return error_set(err, ERROR_INVALID_ARGUMENT,
					 "protocol error: promised %zu bytes in enveloped message, "
					 "got %zu bytes",
					 n, have - sizeof(head));
		return 0;
	}
	if ((ret->flags & RPC_FLAG_COMPRESSED) && !call->gzip_in)
		return error_set(err, ERROR_INTERNAL,
				 "protocol error: sent compressed message without compression "
				 "support");
	if (ret->flags & ~(RPC_FLAG_COMPRESSED | call->protocol->end_flag))
		return error_set(err, ERROR_INTERNAL, "protocol error: invalid envelope flags %u",
				 ret->flags);
	ret->n = n;
	ret->p = evbuffer_pullup(call->in, (ev_ssize_t)(sizeof(head) + n)) + sizeof(head);
	return 1;
}

/* The one message of a call that has one; that no other follows is seen at the end. */
static int take_single(struct rpc_call *call, const struct envelope *envelope, struct error *err)
{
	ProtobufCMessage *request;

	if (call->have_message)
		return error_set(err, ERROR_UNIMPLEMENTED, "unary request has multiple messages");
	if (read_message(call, envelope->p, envelope->n, envelope->flags & RPC_FLAG_COMPRESSED,
			 rpc_call_arena(call), &request, err) < 0)
		return -1;
	call->have_message = true;
	call->request = request;
	return 0;
}

/* A message of a client's stream. */
static int take_streamed(struct rpc_call *call, const struct envelope *envelope, struct error *err)
{
	ProtobufCMessage *request;
	int r;

	r = read_message(call, envelope->p, envelope->n, envelope->flags & RPC_FLAG_COMPRESSED,
			 &call->messages, &request, err);
	if (r == 0)
		call->method->message(call, request);
	arena_clear(&call->messages);
	return r;
}

/* The client's stream is over. */
static void input_over(struct rpc_call *call)
{
	const ProtobufCMessage *request = call->request;
	struct error err;

	call->input_done = true;
	if (call->method->kind == RPC_CLIENT_STREAM) {
		call->method->end(call);
		return;
	}
	if (!call->have_message) {
		error_set(&err, ERROR_UNIMPLEMENTED, "unary request has zero messages");
		malformed(call, &err);
		return;
	}
	rpc_call_drop_input(call);
	open_call(call, request);
}

/* Delivers what is complete, until the service holds the call, or the end. */
static void call_pump(void *arg)
{
	struct rpc_call *call = arg;
	struct envelope envelope = {0};
	struct error err;
	bool end = false;
	int r = 0;

	if (call->input_done)
		return;
	while (!call->ended && !call->held && !end) {
		r = next_envelope(call, &envelope, &err);
		if (r <= 0)
			break;
		if (envelope.flags & call->protocol->end_flag)
			end = true;
		else if (call->method->kind == RPC_CLIENT_STREAM)
			r = take_streamed(call, &envelope, &err);
		else
			r = take_single(call, &envelope, &err);
		if (r < 0 || call->ended)
			break;
		consume(call, RPC_ENVELOPE_BYTES + envelope.n);
	}
	if (call->ended)
		return;
	if (r < 0)
		malformed(call, &err);
	else if (!call->held && (end || call->in_ended))
		input_over(call);
}

static void enveloped_body(struct stream *s, struct evbuffer *data)
{
	struct rpc_call *call = stream_data(s);
	struct error err;

	if (call->input_done)
		return;
	if (gather(call, data, &err) < 0)
		malformed(call, &err);
	else
		call_pump(call);
}

static void enveloped_body_end(struct stream *s)
{
	struct rpc_call *call = stream_data(s);

	call->in_ended = true;
	call_pump(call);
}

/* ---- the stream's other callbacks ---- */

static void call_writable(struct stream *s)
{
	struct rpc_call *call = stream_data(s);

	if (!call->ended && call->method->writable)
		call->method->writable(call);
}

/* Whoever streams has gone when its side is closed; a unary call is answered. */
static void call_half_closed(struct stream *s)
{
	struct rpc_call *call = stream_data(s);
	struct error err;

	if (call->method->kind == RPC_UNARY)
		return;
	error_set(&err, ERROR_CANCELED, "the client has closed its side");
	rpc_call_cancel(call, RPC_CANCEL_GONE, &err);
}

static void call_gone(struct stream *s)
{
	rpc_call_cancel(stream_data(s), RPC_CANCEL_GONE, NULL);
}

static void call_shutdown(struct stream *s)
{
	struct error err;

	error_set(&err, ERROR_UNAVAILABLE, "envd is shutting down");
	rpc_call_cancel(stream_data(s), RPC_CANCEL_SHUTDOWN, &err);
}

void rpc_call_read(struct rpc_call *call)
{
	static const struct stream_handler bare = {
		.body = bare_body,
		.body_end = bare_body_end,
		.writable = call_writable,
		.half_closed = call_half_closed,
		.gone = call_gone,
		.shutdown = call_shutdown,
	};
	static const struct stream_handler enveloped = {
		.body = enveloped_body,
		.body_end = enveloped_body_end,
		.writable = call_writable,
		.half_closed = call_half_closed,
		.gone = call_gone,
		.shutdown = call_shutdown,
	};

	defer_init(&call->pump, rpc_call_loop(call), call_pump, call);
	stream_set_handler(call->stream, call->protocol->enveloped ? &enveloped : &bare, call);
	if (call->method->kind == RPC_CLIENT_STREAM) {
		stream_allow_pauses(call->stream);
		open_call(call, NULL);
	}
}
