/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/wire_client.h"

#include <event2/buffer.h>
#include <string.h>

#include "base/loop.h"
#include "rpc/http/http1.h"
#include "rpc/http/server_impl.h"
#include "tests/fuzz/fuzz.h"

struct client {
	struct http1 http;
	struct loop *loop;
	struct evbuffer *got;
	bool broken; /* the connection was cut, with what was still to be written */
	uint32_t random;
	bool slow; /* reads little at a time */
};

static void on_wake(void *arg)
{
}

static void on_request(struct stream *s, void *arg)
{
	server_request(arg, s, false);
}

static const char *date(void *arg)
{
	return server_date(arg);
}

static const struct http1_calls calls = {.wake = on_wake, .request = on_request, .date = date};

static size_t next_random(struct client *c, size_t below)
{
	c->random = c->random * 1664525 + 1013904223;
	return (c->random >> 8) % below;
}

/* Lets the engine do all it can, and reads what it wrote. */
static void run(struct client *c)
{
	size_t before, n;

	do {
		before = evbuffer_get_length(c->http.in);
		http1_process(&c->http);
		event_base_loop(c->loop->base, EVLOOP_NONBLOCK);
		http1_process(&c->http);
		n = evbuffer_get_length(c->http.out);
		if (c->slow && n > 0)
			n = 1 + next_random(c, n);
		evbuffer_remove_buffer(c->http.out, c->got, n);
		if (n > 0)
			http1_drained(&c->http);
	} while (!http1_finished(&c->http) && (n > 0 || before != evbuffer_get_length(c->http.in)));
}

/* Sends the input in pieces of at most `max_piece` bytes, then closes. */
static void talk(struct client *c, struct server *server, const uint8_t *data, size_t n,
		 size_t max_piece)
{
	size_t at = 0;

	c->got = evbuffer_new();
	http1_init(&c->http, &calls, server, c->loop, server->budget, 1);
	while (at < n && !http1_finished(&c->http) && http1_wants_input(&c->http)) {
		size_t piece = max_piece > 1 ? 1 + next_random(c, max_piece) : 1;

		if (piece > n - at)
			piece = n - at;
		evbuffer_add(c->http.in, data + at, piece);
		at += piece;
		run(c);
	}
	if (!http1_finished(&c->http)) {
		http1_eof(&c->http);
		run(c);
	}
	c->broken = c->http.state == HTTP1_BROKEN;
	CHECK(c->broken || http1_finished(&c->http) || c->http.stream);
	http1_clear(&c->http);
}

/* The answers, without what the clock says (or what a body has in its likeness). */
static char *answers(struct client *c, size_t *ret_n)
{
	size_t n = *ret_n = evbuffer_get_length(c->got);
	char *p = (char *)evbuffer_pullup(c->got, -1), *at = p;

	while (at && (at = memmem(at, n - (size_t)(at - p), "\r\nDate: ", 8))) {
		at += 8;
		for (size_t i = 0; i < 29 && at + i < p + n; i++)
			at[i] = 'x';
	}
	return p;
}

/*
 * The answers are the same; or a connection that was cut, for a fault that came before its last
 * answer was read, has the beginning of them.
 */
static void compare(struct client *a, struct client *b)
{
	size_t a_n, b_n;
	char *a_p = answers(a, &a_n), *b_p = answers(b, &b_n);
	size_t n = a_n < b_n ? a_n : b_n;

	CHECK(a_n == n || b->broken);
	CHECK(b_n == n || a->broken);
	CHECK(n == 0 || !memcmp(a_p, b_p, n));
}

void wire_client_talk(struct loop *loop, struct server *server, const uint8_t *data, size_t n,
		      void (*idle)(void))
{
	struct client whole = {.loop = loop}, bytewise = {.loop = loop};
	struct client slow = {.loop = loop, .slow = true};

	for (size_t i = 0; i < n; i++)
		slow.random = slow.random * 31 + data[i];
	talk(&whole, server, data, n, n);
	idle();
	talk(&bytewise, server, data, n, 1);
	idle();
	talk(&slow, server, data, n, 40);
	idle();
	compare(&whole, &bytewise);
	compare(&whole, &slow);
	evbuffer_free(whole.got);
	evbuffer_free(bytewise.got);
	evbuffer_free(slow.got);
}
