/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/call_work.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdlib.h>

#include "base/budget.h"
#include "base/mem.h"
#include "base/work.h"
#include "rpc/call_impl.h"
#include "rpc/codec/gzip.h"

/*
 * The memory of a decoded message is not known in advance. The first decoding is charged for, and
 * limited to, the size of the bytes and FIRST_EXTRA_BYTES, which suffices for long strings. If the
 * message needs more (each empty string in a list takes 3 bytes of JSON and 24 bytes of memory), it
 * is decoded again with GROWTH times the room.
 */
#define FIRST_EXTRA_BYTES (64 * 1024)
#define GROWTH		  4

/* ---- decoding ---- */

struct decode {
	struct work work;
	struct rpc_call *call; /* a reference */
	struct evbuffer *in;
	size_t in_bytes;   /* charged for `in` */
	size_t room_bytes; /* charged for the decoded message */
	bool compressed;
	struct arena arena;
	ProtobufCMessage *message;
	struct error err;
	int result;
	void (*done)(struct rpc_call *call, ProtobufCMessage *message, struct arena *arena,
		     struct error *err);
};

static int too_much(struct error *err)
{
	return error_set(err, ERROR_RESOURCE_EXHAUSTED,
			 "too many bytes of requests wait in the daemon");
}

int rpc_decode(const struct rpc_call *call, const void *p, size_t n, bool compressed,
	       size_t max_inflated_bytes, size_t room_bytes, struct arena *arena,
	       ProtobufCMessage **ret, struct error *err)
{
	enum rpc_codec codec = call->codec;
	size_t max_bytes = rpc_message_max_bytes(call->method);
	char *inflated = NULL;
	int r;

	/* An empty envelope is the default message in either codec (compatibility/details 65). */
	if (n == 0 && call->protocol->enveloped)
		codec = RPC_CODEC_PROTO;
	/* An empty body that is marked as compressed is an empty message, as in connect-go. */
	if (compressed && n) {
		if (max_inflated_bytes > max_bytes)
			max_inflated_bytes = max_bytes;
		r = gzip_decompress(p, n, max_inflated_bytes, &inflated, &n);
		if (r == -EMSGSIZE && max_inflated_bytes < max_bytes)
			return -2;
		if (r == -EMSGSIZE)
			return rpc_message_too_large(call->method, err);
		if (r < 0)
			return error_set(err, ERROR_INVALID_ARGUMENT, "decompress: corrupt gzip");
		p = inflated;
	}
	if (room_bytes > RPC_DECODED_MAX_BYTES)
		room_bytes = RPC_DECODED_MAX_BYTES;
	/* A limit of 0 would mean no limit. */
	arena->limit_bytes = arena->total_bytes + (room_bytes ? room_bytes : 1);
	r = codec_decode(codec, call->method->input, p, n, call->method->nul_code, arena, ret, err);
	arena->limit_bytes = 0;
	free(inflated);
	return r;
}

bool rpc_decode_is_large(const struct rpc_call *call, size_t n)
{
	bool streamed = call->method->kind == RPC_CLIENT_STREAM;

	return call->workers && n > (streamed ? RPC_LOOP_STREAM_BYTES : RPC_LOOP_BYTES);
}

static void decode_run(struct work *work)
{
	struct decode *d = container_of(work, struct decode, work);
	size_t n = d->in ? evbuffer_get_length(d->in) : 0;

	/* Half for the inflated text, half for the message. */
	d->result = rpc_decode(d->call, n ? evbuffer_pullup(d->in, -1) : NULL, n, d->compressed,
			       d->room_bytes / 2, d->compressed ? d->room_bytes / 2 : d->room_bytes,
			       &d->arena, &d->message, &d->err);
}

static void decode_free(struct decode *d)
{
	struct budget_share *share = stream_share(d->call->stream);

	budget_share_give(share, d->in_bytes);
	arena_clear(&d->arena);
	if (d->in)
		evbuffer_free(d->in);
	rpc_call_unref(d->call);
	free(d);
}

/* If the message needs more room and the budget has it, charges it and returns true. */
static bool decode_grow(struct decode *d)
{
	struct budget_share *share = stream_share(d->call->stream);
	const size_t most = 2 * (size_t)RPC_DECODED_MAX_BYTES;
	size_t room = d->room_bytes < most / GROWTH ? d->room_bytes * GROWTH : most, free_bytes;

	if (d->call->ended || d->room_bytes >= most ||
	    (d->result != -2 && (d->result == 0 || d->err.code != ERROR_RESOURCE_EXHAUSTED)))
		return false;
	free_bytes = d->room_bytes + budget_share_room(share);
	room = room < free_bytes ? room : free_bytes;
	if (room <= d->room_bytes || !budget_share_take(share, room - d->room_bytes))
		return false;
	d->room_bytes = room;
	arena_clear(&d->arena);
	return true;
}

static void decode_done(struct work *work)
{
	struct decode *d = container_of(work, struct decode, work);
	struct budget_share *share = stream_share(d->call->stream);

	if (decode_grow(d)) {
		work_submit(d->call->workers, &d->work);
		return;
	}
	if (d->result == -2)
		d->result = too_much(&d->err);
	/* Replace the charge for the maximum by the charge for the actual memory. */
	budget_share_give(share, d->room_bytes);
	if (d->result == 0 && !budget_share_take(share, d->arena.total_bytes))
		d->result = too_much(&d->err);
	if (!d->call->ended)
		d->done(d->call, d->result == 0 ? d->message : NULL, &d->arena, &d->err);
	decode_free(d);
}

void rpc_decode_start(struct rpc_call *call, struct evbuffer *in, size_t charged_bytes,
		      bool compressed,
		      void (*done)(struct rpc_call *call, ProtobufCMessage *message,
				   struct arena *arena, struct error *err))
{
	struct decode *d = mem_zalloc(sizeof(*d));
	size_t n = in ? evbuffer_get_length(in) : 0;
	size_t room = (compressed ? GROWTH * n : n) + FIRST_EXTRA_BYTES;
	size_t free_bytes = budget_share_room(stream_share(call->stream));

	d->call = rpc_call_ref(call);
	d->in = in;
	d->in_bytes = charged_bytes;
	d->compressed = compressed;
	d->done = done;
	d->work.run = decode_run;
	d->work.done = decode_done;
	d->room_bytes = room < free_bytes ? room : free_bytes;
	budget_share_take(stream_share(call->stream), d->room_bytes);
	work_submit(call->workers, &d->work);
}

/* ---- compressing ---- */

struct deflate_job {
	struct work work;
	struct rpc_call *call; /* a reference */
	struct evbuffer *plain;
	size_t headroom;
	char *data;
	size_t n;
	void (*done)(struct rpc_call *call, char *data, size_t n);
};

static void deflate_run(struct work *work)
{
	struct deflate_job *d = container_of(work, struct deflate_job, work);
	size_t n = evbuffer_get_length(d->plain);

	gzip_compress(n ? evbuffer_pullup(d->plain, -1) : NULL, n, d->headroom, &d->data, &d->n);
}

static void deflate_done(struct work *work)
{
	struct deflate_job *d = container_of(work, struct deflate_job, work);

	if (stream_live(d->call->stream))
		d->done(d->call, d->data, d->n);
	else
		free(d->data);
	evbuffer_free(d->plain);
	rpc_call_unref(d->call);
	free(d);
}

void rpc_gzip_start(struct rpc_call *call, struct evbuffer *plain, size_t headroom,
		    void (*done)(struct rpc_call *call, char *data, size_t n))
{
	struct deflate_job *d = mem_zalloc(sizeof(*d));

	d->call = rpc_call_ref(call);
	d->plain = plain;
	d->headroom = headroom;
	d->done = done;
	d->work.run = deflate_run;
	d->work.done = deflate_done;
	if (evbuffer_get_length(plain) > RPC_LOOP_BYTES && call->workers) {
		work_submit(call->workers, &d->work);
		return;
	}
	deflate_run(&d->work);
	deflate_done(&d->work);
}
