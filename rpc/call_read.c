/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of calls, from the bytes of the body to the service's messages. */
#include <event2/buffer.h>
#include <stdlib.h>

#include "base/budget.h"
#include "base/buffer.h"
#include "base/mem.h"
#include "rpc/call_impl.h"
#include "rpc/call_log.h"
#include "rpc/call_work.h"

static void call_pump(void *arg);
static void call_half_closed(struct stream *s);

/* ---- gathered bytes ---- */

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

/* Holds the stream while the service holds the call, or while a worker decodes its message. */
static void update_hold(struct rpc_call *call)
{
	if (call->held || call->decoding)
		stream_hold(call->stream);
	else
		stream_unhold(call->stream);
}

/* Gathers the bytes that arrived, within the budget. 0 or -1. */
static int gather(struct rpc_call *call, struct evbuffer *data, struct error *err)
{
	size_t n = evbuffer_get_length(data);

	if (!call->in)
		call->in = evbuffer_new();
	if (!budget_share_take(stream_share(call->stream), n))
		return error_set(err, ERROR_RESOURCE_EXHAUSTED,
				 "too many bytes of requests wait in the daemon");
	call->charged_bytes += n;
	buffer_gather(call->in, data);
	return 0;
}

/* Drops the first n gathered bytes. */
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
	if (!call->opened) {
		rpc_call_end(call, err);
		return;
	}
	rpc_log_failure(call, err);
	rpc_call_cancel(call, RPC_CANCEL_GONE, err);
}

size_t rpc_message_max_bytes(const struct rpc_method *method)
{
	return method->message_max_bytes ? method->message_max_bytes : RPC_MESSAGE_MAX_BYTES;
}

int rpc_message_too_large(const struct rpc_method *method, struct error *err)
{
	return error_set(err, ERROR_RESOURCE_EXHAUSTED,
			 "message is larger than configured max %zu bytes",
			 rpc_message_max_bytes(method));
}

/*
 * Decodes n bytes at p into the arena, on the loop. -1 with the error; -2 if they would inflate to
 * a size for a worker.
 */
static int decode_here(struct rpc_call *call, const void *p, size_t n, bool compressed,
		       struct arena *arena, ProtobufCMessage **ret, struct error *err)
{
	struct budget_share *share = stream_share(call->stream);
	size_t before = arena->total_bytes;
	size_t max_inflated_bytes = call->workers ? RPC_LOOP_BYTES : RPC_MESSAGE_MAX_BYTES;
	int r = rpc_decode(call, p, n, compressed, max_inflated_bytes, budget_share_room(share),
			   arena, ret, err);

	/*
	 * Charge a message that lives as long as the call. (A streamed message is freed after its
	 * callback.)
	 */
	if (r == 0 && arena != &call->messages &&
	    !budget_share_take(share, arena->total_bytes - before))
		return error_set(err, ERROR_RESOURCE_EXHAUSTED,
				 "too many bytes of requests wait in the daemon");
	return r;
}

/* Calls the service's `open`. */
static void open_call(struct rpc_call *call, const ProtobufCMessage *request)
{
	call->opened = true;
	rpc_log_open(call, request);
	rpc_call_start_timers(call);
	call->method->open(call, request);
}

/* Called when a worker has decoded the only message of a call. */
static void single_decoded(struct rpc_call *call, ProtobufCMessage *message, struct arena *arena,
			   struct error *err)
{
	bool half_closed = call->half_closed;

	call->decoding = false;
	update_hold(call);
	if (!message) {
		malformed(call, err);
		return;
	}
	arena_adopt(rpc_call_arena(call), arena);
	if (!call->protocol->enveloped) {
		open_call(call, message);
		return;
	}
	call->have_message = true;
	call->request = message;
	call_pump(call);
	if (half_closed)
		call_half_closed(call->stream);
}

/*
 * Decodes `in` on a worker and takes ownership of it. `in` is the message, for which charged_bytes
 * were charged.
 */
static void decode_there(struct rpc_call *call, struct evbuffer *in, size_t charged_bytes,
			 bool compressed,
			 void (*done)(struct rpc_call *call, ProtobufCMessage *message,
				      struct arena *arena, struct error *err))
{
	call->charged_bytes -= charged_bytes;
	call->decoding = true;
	update_hold(call);
	rpc_decode_start(call, in, charged_bytes, compressed, done);
}

void rpc_call_read_message(struct rpc_call *call, const void *p, size_t n)
{
	ProtobufCMessage *request;
	struct evbuffer *in;
	struct error err;
	int r = decode_here(call, p, n, call->gzip_in, rpc_call_arena(call), &request, &err);

	if (r == -2) {
		in = evbuffer_new();
		evbuffer_add(in, p, n);
		decode_there(call, in, 0, call->gzip_in, single_decoded);
	} else if (r < 0) {
		malformed(call, &err);
	} else {
		open_call(call, request);
	}
}

/* ---- bare bodies: the unary calls of Connect ---- */

static void bare_body(struct stream *s, struct evbuffer *data)
{
	struct rpc_call *call = stream_data(s);
	struct error err;

	if (call->charged_bytes + evbuffer_get_length(data) > rpc_message_max_bytes(call->method))
		rpc_message_too_large(call->method, &err);
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
	int r = -2;

	if (!rpc_decode_is_large(call, n))
		r = decode_here(call, n ? evbuffer_pullup(in, -1) : NULL, n, call->gzip_in,
				rpc_call_arena(call), &request, &err);
	if (r == -2) {
		call->in = NULL;
		decode_there(call, in, call->charged_bytes, call->gzip_in, single_decoded);
		return;
	}
	rpc_call_drop_input(call);
	if (r < 0)
		malformed(call, &err);
	else
		open_call(call, request);
}

/* ---- enveloped bodies ---- */

/* A complete envelope at the beginning of `in`. */
struct envelope {
	uint8_t flags;
	size_t n; /* length of its message */
};

/*
 * Examines the next envelope (compatibility/details 65). 1: it is complete; 0: more bytes are
 * needed; -1: refused, with the error.
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
	if (n > rpc_message_max_bytes(call->method))
		return rpc_message_too_large(call->method, err);
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
	return 1;
}

/*
 * Decodes the envelope's message here, or on a worker; then returns -2, and the envelope is
 * consumed.
 */
static int take_message(struct rpc_call *call, const struct envelope *envelope, struct arena *arena,
			void (*done)(struct rpc_call *call, ProtobufCMessage *message,
				     struct arena *arena, struct error *err),
			ProtobufCMessage **ret, struct error *err)
{
	bool compressed = envelope->flags & RPC_FLAG_COMPRESSED;
	size_t n = envelope->n;
	struct evbuffer *in;
	int r = -2;

	if (!rpc_decode_is_large(call, n))
		r = decode_here(call,
				evbuffer_pullup(call->in, (ev_ssize_t)(RPC_ENVELOPE_BYTES + n)) +
					RPC_ENVELOPE_BYTES,
				n, compressed, arena, ret, err);
	if (r != -2)
		return r;
	in = evbuffer_new();
	consume(call, RPC_ENVELOPE_BYTES);
	evbuffer_remove_buffer(call->in, in, n);
	decode_there(call, in, n, compressed, done);
	return r;
}

/* Takes the only message of a call. input_over checks that no other follows. */
static int take_single(struct rpc_call *call, const struct envelope *envelope, struct error *err)
{
	ProtobufCMessage *request;
	int r;

	if (call->have_message)
		return error_set(err, ERROR_UNIMPLEMENTED, "unary request has multiple messages");
	r = take_message(call, envelope, rpc_call_arena(call), single_decoded, &request, err);
	if (r == 0) {
		call->have_message = true;
		call->request = request;
	}
	return r;
}

/* Called when a worker has decoded a message of a client stream. */
static void streamed_decoded(struct rpc_call *call, ProtobufCMessage *message, struct arena *arena,
			     struct error *err)
{
	bool half_closed = call->half_closed;

	call->decoding = false;
	if (message)
		call->method->message(call, message);
	if (call->ended)
		return;
	update_hold(call);
	if (!message) {
		malformed(call, err);
		return;
	}
	call_pump(call);
	if (half_closed)
		call_half_closed(call->stream);
}

/* Takes a message of a client stream. */
static int take_streamed(struct rpc_call *call, const struct envelope *envelope, struct error *err)
{
	ProtobufCMessage *request;
	int r = take_message(call, envelope, &call->messages, streamed_decoded, &request, err);

	if (r == 0)
		call->method->message(call, request);
	arena_clear(&call->messages);
	return r;
}

/* Handles the end of the client's stream. */
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

/* Delivers complete messages, until the service holds the call or the input ends. */
static void call_pump(void *arg)
{
	struct rpc_call *call = arg;
	struct envelope envelope = {0};
	struct error err;
	bool end = false;
	int r = 0;

	if (call->input_done)
		return;
	while (!call->ended && !call->held && !call->decoding && !end) {
		r = next_envelope(call, &envelope, &err);
		if (r <= 0)
			break;
		if (envelope.flags & call->protocol->end_flag)
			end = true;
		else if (call->method->kind == RPC_CLIENT_STREAM)
			r = take_streamed(call, &envelope, &err);
		else
			r = take_single(call, &envelope, &err);
		if (r == -2)
			return; /* a worker decodes the message, and pumps again */
		if (r < 0 || call->ended)
			break;
		consume(call, RPC_ENVELOPE_BYTES + envelope.n);
	}
	if (call->ended || call->decoding)
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

/*
 * If the client closes its side, a streaming client counts as disconnected; a unary call is
 * answered.
 */
static void call_half_closed(struct stream *s)
{
	struct rpc_call *call = stream_data(s);
	struct error err;

	if (call->method->kind == RPC_UNARY)
		return;
	/* The request is complete: call the service's `open` first. */
	if (call->decoding) {
		call->half_closed = true;
		return;
	}
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
