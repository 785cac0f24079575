/* SPDX-License-Identifier: Apache-2.0 */
/* The service's side of calls, from the route to the ending. */
#include "rpc/call.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rpc/call_impl.h"
#include "rpc/call_log.h"
#include "rpc/call_work.h"
#include "rpc/http/router.h"

/*
 * A smaller frame is copied to the end of the waiting bytes; a larger one is sent without copying.
 */
#define COPY_MAX_BYTES 4096

void rpc_register(struct router *router, const struct rpc_method *methods, size_t n, void *service)
{
	char path[256];
	size_t i;

	for (i = 0; i < n; i++) {
		struct rpc_route *route = arena_alloc(router_arena(router), sizeof(*route));

		route->method = &methods[i];
		route->service = service;
		route->router = router;
		snprintf(path, sizeof(path), "/%s/%s", methods[i].service, methods[i].name);
		router_add_rpc(router, path, rpc_call_open, route);
	}
}

/* ---- the request ---- */

const struct rpc_method *rpc_call_method(const struct rpc_call *call)
{
	return call->method;
}

void *rpc_call_service(const struct rpc_call *call)
{
	return call->service;
}

void rpc_call_set_data(struct rpc_call *call, void *data)
{
	call->data = data;
}

void *rpc_call_data(const struct rpc_call *call)
{
	return call->data;
}

struct arena *rpc_call_arena(struct rpc_call *call)
{
	return stream_arena(call->stream);
}

struct loop *rpc_call_loop(const struct rpc_call *call)
{
	return stream_loop(call->stream);
}

const char *rpc_call_header(const struct rpc_call *call, const char *name)
{
	return stream_header_in(call->stream, name);
}

const struct http_head *rpc_call_head(const struct rpc_call *call)
{
	return stream_head_in(call->stream);
}

struct log_request rpc_call_log_request(const struct rpc_call *call)
{
	return stream_log_request(call->stream);
}

const char *rpc_call_user(const struct rpc_call *call)
{
	return stream_user(call->stream);
}

int64_t rpc_call_timeout_ms(const struct rpc_call *call)
{
	return call->timeout_ms;
}

int64_t rpc_call_connect_timeout_ms(const struct rpc_call *call)
{
	struct error ignored;
	int64_t ms;

	if (rpc_parse_timeout_ms(rpc_call_header(call, "connect-timeout-ms"), &ms, &ignored) < 0)
		return -1;
	return ms;
}

enum rpc_codec rpc_call_codec(const struct rpc_call *call)
{
	return call->codec;
}

size_t rpc_call_pending_bytes(const struct rpc_call *call)
{
	return call->ended ? 0 : stream_pending_bytes(call->stream);
}

bool rpc_call_live(const struct rpc_call *call)
{
	return !call->ended;
}

struct rpc_call *rpc_call_ref(struct rpc_call *call)
{
	stream_ref(call->stream);
	return call;
}

void rpc_call_unref(struct rpc_call *call)
{
	if (call)
		stream_unref(call->stream);
}

/* ---- timers ---- */

static void on_deadline(void *arg)
{
	struct rpc_call *call = arg;
	struct error err;

	error_set(&err, ERROR_DEADLINE_EXCEEDED, "context deadline exceeded");
	rpc_call_cancel(call, RPC_CANCEL_DEADLINE, &err);
}

/* The timer is not reset with each message. If it fires too early, it is set again. */
static void on_keepalive(void *arg)
{
	struct rpc_call *call = arg;
	uint64_t due = call->last_sent_ms + call->keepalive_ms, now = clock_monotonic_ms();

	if (now < due) {
		timer_set_ms(&call->keepalive, due - now);
		return;
	}
	call->last_sent_ms = now;
	timer_set_ms(&call->keepalive, call->keepalive_ms);
	call->method->keepalive(call);
}

/* Keepalive-Ping-Interval in milliseconds: compatibility/details 61. */
static uint64_t keepalive_interval_ms(const struct rpc_call *call)
{
	const char *text = rpc_call_header(call, "keepalive-ping-interval");
	char *end;
	long seconds;

	if (!text || !*text || *text == ' ')
		return call->keepalive_ms;
	seconds = strtol(text, &end, 10);
	if (*end || seconds < RPC_KEEPALIVE_MIN_S || seconds > RPC_KEEPALIVE_MAX_S)
		return call->keepalive_ms;
	return (uint64_t)seconds * 1000;
}

void rpc_call_start_timers(struct rpc_call *call)
{
	if (call->method->kind != RPC_SERVER_STREAM)
		return;
	if (call->timeout_ms >= 0) {
		timer_init(&call->deadline, rpc_call_loop(call), on_deadline, call);
		timer_set_ms(&call->deadline, (uint64_t)call->timeout_ms);
	}
	if (call->method->keepalive) {
		call->keepalive_ms = keepalive_interval_ms(call);
		call->last_sent_ms = clock_monotonic_ms();
		timer_init(&call->keepalive, rpc_call_loop(call), on_keepalive, call);
		timer_set_ms(&call->keepalive, call->keepalive_ms);
	}
}

/* Closes the call: later calls of the service have no effect. */
static void call_close(struct rpc_call *call)
{
	call->ended = true;
	if (call->deadline.run)
		timer_cancel(&call->deadline);
	if (call->keepalive.run)
		timer_cancel(&call->keepalive);
	rpc_call_drop_input(call);
}

/* ---- the response ---- */

void rpc_header(struct rpc_call *call, const char *name, const char *value)
{
	if (!call->ended && !stream_head_sent(call->stream))
		stream_header(call->stream, name, value);
}

void rpc_put_stream_fields(struct rpc_call *call)
{
	if (call->method->kind == RPC_SERVER_STREAM)
		stream_header(call->stream, "X-Accel-Buffering", "no");
}

void rpc_trailer(struct rpc_call *call, const char *name, const char *value)
{
	struct arena *arena = rpc_call_arena(call);
	struct rpc_field *field = arena_alloc(arena, sizeof(*field)), **at = &call->trailers;

	field->name = arena_strdup(arena, name);
	field->value = arena_strdup(arena, value);
	field->next = NULL;
	while (*at)
		at = &(*at)->next;
	*at = field;
}

void rpc_error_detail(struct rpc_call *call, const char *type, const void *value, size_t n)
{
	struct arena *arena = rpc_call_arena(call);
	struct rpc_detail *detail = arena_alloc(arena, sizeof(*detail)), **at = &call->details;

	detail->type = arena_strdup(arena, type);
	detail->value = arena_memdup(arena, value, n);
	detail->value_bytes = n;
	detail->next = NULL;
	while (*at)
		at = &(*at)->next;
	*at = detail;
}

static void call_tell_end(struct rpc_call *call, const struct error *err);

static void release_data(const void *p, size_t n, void *arg)
{
	free(arg);
}

static void release_frame(const void *p, size_t n, void *arg)
{
	rpc_frame_unref(arg);
}

/* Sends the head, if it was not sent, and a frame. */
static enum rpc_flow send_frame(struct rpc_call *call, struct rpc_frame *frame)
{
	enum stream_flow flow;
	const char *bytes;
	size_t n;

	if (!stream_head_sent(call->stream)) {
		call->protocol->head(call);
		stream_head(call->stream, 200, STREAM_LENGTH_UNKNOWN);
	}
	bytes = rpc_frame_bytes(frame, &n);
	if (n <= COPY_MAX_BYTES)
		flow = stream_send_bytes(call->stream, bytes, n);
	else
		flow = stream_send_ref(call->stream, bytes, n, release_frame, rpc_frame_ref(frame));
	return flow == STREAM_FULL ? RPC_FULL : RPC_OK;
}

enum rpc_flow rpc_send_frame(struct rpc_call *call, struct rpc_frame *frame)
{
	if (call->ended)
		return RPC_OK;
	if (call->keepalive.run)
		call->last_sent_ms = clock_monotonic_ms();
	return send_frame(call, frame);
}

enum rpc_flow rpc_send(struct rpc_call *call, const ProtobufCMessage *message)
{
	struct rpc_frame *frame;
	enum rpc_flow flow;

	if (call->ended)
		return RPC_OK;
	frame = rpc_frame_new(rpc_call_encoding(call), message);
	flow = rpc_send_frame(call, frame);
	rpc_frame_unref(frame);
	return flow;
}

/* ---- whole answers ---- */

/* Sends the response of a call with bare bodies. Takes ownership of data (malloc). */
static void send_bare(struct rpc_call *call, char *data, size_t n)
{
	call->protocol->head(call);
	stream_head(call->stream, 200, (int64_t)n);
	if (n > COPY_MAX_BYTES) {
		stream_send_ref(call->stream, data, n, release_data, data);
	} else {
		stream_send_bytes(call->stream, data, n);
		free(data);
	}
	stream_finish(call->stream);
}

/*
 * Sends the response of a call in one envelope, and the ending. Takes ownership of data, which has
 * room for the envelope.
 */
static void send_enveloped(struct rpc_call *call, char *data, size_t n)
{
	rpc_envelope_write(data, RPC_FLAG_COMPRESSED, n);
	call->protocol->head(call);
	stream_head(call->stream, 200, STREAM_LENGTH_UNKNOWN);
	stream_send_ref(call->stream, data, RPC_ENVELOPE_BYTES + n, release_data, data);
	call_tell_end(call, NULL);
}

void rpc_reply(struct rpc_call *call, const ProtobufCMessage *message)
{
	struct evbuffer *encoded;
	struct error err;
	char *data;
	size_t n;

	if (call->ended)
		return;
	if (codec_encode(call->codec, message, 0, &data, &n, &err) < 0) {
		rpc_call_end(call, &err);
		return;
	}
	rpc_log_reply(call, message, 0);
	if (!call->gzip_out && !call->protocol->enveloped) {
		call_close(call);
		send_bare(call, data, n);
	} else {
		encoded = evbuffer_new();
		evbuffer_add_reference(encoded, data, n, release_data, data);
		rpc_reply_encoded(call, encoded);
		evbuffer_free(encoded);
	}
}

/* Sends an encoded response in one envelope. */
static void reply_enveloped(struct rpc_call *call, struct evbuffer *encoded)
{
	size_t n = evbuffer_get_length(encoded);
	char envelope[RPC_ENVELOPE_BYTES];

	call->protocol->head(call);
	stream_head(call->stream, 200, STREAM_LENGTH_UNKNOWN);
	rpc_envelope_write(envelope, 0, n);
	stream_send_bytes(call->stream, envelope, sizeof(envelope));
	stream_send(call->stream, encoded);
	rpc_call_end(call, NULL);
}

/* Compresses the response, and sends it. */
static void reply_gzip(struct rpc_call *call, struct evbuffer *encoded)
{
	struct evbuffer *plain = evbuffer_new();

	evbuffer_add_buffer(plain, encoded);
	call_close(call);
	if (call->protocol->enveloped)
		rpc_gzip_start(call, plain, RPC_ENVELOPE_BYTES, send_enveloped);
	else
		rpc_gzip_start(call, plain, 0, send_bare);
}

void rpc_reply_encoded(struct rpc_call *call, struct evbuffer *encoded)
{
	size_t n = evbuffer_get_length(encoded);

	if (call->ended) {
		evbuffer_drain(encoded, n);
		return;
	}
	rpc_log_reply(call, NULL, n);
	if (call->gzip_out) {
		reply_gzip(call, encoded);
	} else if (call->protocol->enveloped) {
		reply_enveloped(call, encoded);
	} else {
		call_close(call);
		call->protocol->head(call);
		stream_head(call->stream, 200, (int64_t)n);
		stream_send(call->stream, encoded);
		stream_finish(call->stream);
	}
}

void rpc_finish(struct rpc_call *call)
{
	rpc_call_end(call, NULL);
}

void rpc_fail(struct rpc_call *call, const struct error *err)
{
	rpc_call_end(call, err);
}

/* Sends the ending to the client (err NULL: success), and logs an error. */
static void call_tell_end(struct rpc_call *call, const struct error *err)
{
	if (err)
		stream_set_outcome(call->stream, error_code_name(err->code));
	call->protocol->end(call, err);
}

void rpc_call_end(struct rpc_call *call, const struct error *err)
{
	if (call->ended)
		return;
	call_close(call);
	if (err)
		rpc_log_failure(call, err);
	else
		rpc_log_reply(call, NULL, 0);
	call_tell_end(call, err);
}

void rpc_call_cancel(struct rpc_call *call, enum rpc_cancel why, const struct error *err)
{
	if (call->ended)
		return;
	call_close(call);
	rpc_log_cancel(call, why);
	if (call->opened && call->method->cancel)
		call->method->cancel(call, why);
	if (err)
		call_tell_end(call, err);
}

void rpc_hold(struct rpc_call *call)
{
	if (call->ended)
		return;
	call->held = true;
	stream_hold(call->stream);
}

void rpc_unhold(struct rpc_call *call)
{
	if (call->ended || !call->held)
		return;
	call->held = false;
	defer_schedule(&call->pump);
	if (!call->decoding)
		stream_unhold(call->stream);
}
