/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole connection, without its socket: the input is all that a client sends before it closes
 * its side. What comes back must not depend on how the input was cut, nor on how fast the client
 * reads; and every request ends exactly once.
 */
#include <event2/buffer.h>
#include <stdlib.h>

#include "base/budget.h"
#include "base/loop.h"
#include "rpc/http/router.h"
#include "rpc/http/server.h"
#include "rpc/http/stream.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/wire_client.h"

#define MAX_INPUT_BYTES 2048
#define BIG_BYTES	(200 * 1024)
#define CHUNK_BYTES	16

/* ---- what is served ---- */

struct request {
	struct stream *stream;
	struct evbuffer *body;
	struct defer unhold;
	size_t sent;
};

static struct loop loop;
static struct budget budget;
static struct server *server;
static size_t n_open; /* requests without an ending */

static struct request *request_new(struct stream *s, const struct stream_handler *handler)
{
	struct request *r = mem_zalloc(sizeof(*r));

	r->stream = s;
	r->body = evbuffer_new();
	stream_set_handler(s, handler, r);
	n_open++;
	return r;
}

static void request_free(struct request *r)
{
	if (r->unhold.run)
		defer_cancel(&r->unhold);
	evbuffer_free(r->body);
	free(r);
	CHECK(n_open > 0);
	n_open--;
}

static void on_gone(struct stream *s)
{
	request_free(stream_data(s));
}

/* /gather, and /held: the body comes back as a whole. */
static void gather_body(struct stream *s, struct evbuffer *data)
{
	struct request *r = stream_data(s);

	CHECK(evbuffer_get_length(data) > 0);
	CHECK(!r->unhold.run || !defer_pending(&r->unhold));
	evbuffer_add_buffer(r->body, data);
}

static void gather_end(struct stream *s)
{
	struct request *r = stream_data(s);

	stream_head(s, 200, (int64_t)evbuffer_get_length(r->body));
	stream_send(s, r->body);
	stream_finish(s);
	request_free(r);
}

static const struct stream_handler gather_handler = {
	.body = gather_body,
	.body_end = gather_end,
	.gone = on_gone,
};

static void open_gather(struct stream *s, void *arg)
{
	request_new(s, &gather_handler);
}

static void unhold(void *arg)
{
	struct request *r = arg;

	stream_unhold(r->stream);
}

static void open_held(struct stream *s, void *arg)
{
	struct request *r = request_new(s, &gather_handler);

	defer_init(&r->unhold, &loop, unhold, r);
	defer_schedule(&r->unhold);
	stream_hold(s);
}

/* /chunks: the body comes back while it comes, in chunks of one size, and a trailer. */
static void chunks_body(struct stream *s, struct evbuffer *data)
{
	struct request *r = stream_data(s);
	char piece[CHUNK_BYTES];

	evbuffer_add_buffer(r->body, data);
	while (evbuffer_get_length(r->body) >= CHUNK_BYTES) {
		evbuffer_remove(r->body, piece, CHUNK_BYTES);
		stream_send_bytes(s, piece, CHUNK_BYTES);
	}
}

static void chunks_end(struct stream *s)
{
	struct request *r = stream_data(s);

	stream_send(s, r->body);
	stream_header(s, "X-Trailer", "yes");
	stream_finish(s);
	request_free(r);
}

static const struct stream_handler chunks_handler = {
	.body = chunks_body,
	.body_end = chunks_end,
	.gone = on_gone,
};

static void open_chunks(struct stream *s, void *arg)
{
	request_new(s, &chunks_handler);
	stream_head(s, 200, STREAM_LENGTH_UNKNOWN);
}

/* /big: more than may wait at once, produced as it is taken. */
static void big_produce(struct stream *s)
{
	static const char zeros[4096];
	struct request *r = stream_data(s);

	while (r->sent < BIG_BYTES) {
		r->sent += sizeof(zeros);
		if (stream_send_bytes(s, zeros, sizeof(zeros)) == STREAM_FULL)
			return;
		CHECK(stream_pending_bytes(s) <= STREAM_HIGH_BYTES);
	}
	stream_finish(s);
	request_free(r);
}

static const struct stream_handler big_handler = {
	.writable = big_produce,
	.gone = on_gone,
};

static void open_big(struct stream *s, void *arg)
{
	request_new(s, &big_handler);
	stream_head(s, 200, BIG_BYTES);
	big_produce(s);
}

/* /early: the answer does not wait for the body. */
static void open_early(struct stream *s, void *arg)
{
	stream_reply(s, 403, "text/plain", "no", 2);
}

static bool allow_all(struct stream *s, void *arg)
{
	return true;
}

static void build_server(void)
{
	static const struct {
		const char *path;
		router_fn *open;
	} routes[] = {
		{"/gather", open_gather}, {"/held", open_held},	  {"/chunks", open_chunks},
		{"/big", open_big},	  {"/early", open_early},
	};
	struct router *router = router_new();

	loop_init(&loop);
	budget_init(&budget);
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		router_add(router, "GET", routes[i].path, routes[i].open, NULL);
		router_add(router, "HEAD", routes[i].path, routes[i].open, NULL);
		router_add(router, "POST", routes[i].path, routes[i].open, NULL);
	}
	server = server_new(&loop, &budget, router, allow_all, NULL);
}

static void check_idle(void)
{
	CHECK(n_open == 0);
	CHECK(budget.used[BUDGET_STREAMS] == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (!server)
		build_server();
	if (n == 0 || n > MAX_INPUT_BYTES)
		return 0;
	wire_client_talk(&loop, server, data, n, check_idle);
	return 0;
}
