/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests/unit/test_stream_*.c: streams over HTTP/1.1 without a socket. The test is the client.
 * It decides what has arrived and what was read.
 */
#ifndef TESTS_UNIT_STREAM_WIRE_H
#define TESTS_UNIT_STREAM_WIRE_H

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/budget.h"
#include "base/loop.h"
#include "rpc/http/http1.h"
#include "rpc/http/stream.h"

struct read_pool;
struct router;

#define GET  "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"

/* A connection with its client, and the events of the handler. */
struct wire {
	struct loop loop;
	struct budget budget;
	struct router *router;
	struct read_pool *pool;
	int socket; /* bodies are lent on this socket; -1: no body is lent */
	struct http1 http;
	struct evbuffer *got; /* what the client read */
	struct stream *s;     /* of the last request; valid while it, or a reference, lives */

	bool in_call; /* the test is inside a call of the stream: no callback may come */
	struct evbuffer *body;
	unsigned n_requests, n_body, n_body_end, n_writable, n_half_closed, n_gone, n_shutdown;
};

/* For cmocka: *state is the struct wire. The teardown checks that nothing is charged any more. */
int stream_wire_setup(void **state);
int stream_wire_teardown(void **state);

#define STREAM_TEST(name)                                                                          \
	cmocka_unit_test_setup_teardown(name, stream_wire_setup, stream_wire_teardown)

/* Handles a request: sets a handler that counts its events. */
void wire_request(struct stream *s, void *arg);

/* Callbacks that count; for handlers of a test. wire_shutdown also answers 503. */
void wire_body(struct stream *s, struct evbuffer *data);
void wire_body_end(struct stream *s);
void wire_half_closed(struct stream *s);
void wire_gone(struct stream *s);
void wire_shutdown(struct stream *s);

/* Makes a turn of the loop. The client reads up to max bytes. Returns how many it read. */
size_t wire_turn(struct wire *w, size_t max);

/* The client sends the text, and reads nothing. */
void client_sends(struct wire *w, const char *text);

/* The client reads everything. Returns the text since the last call, valid until the next one. */
const char *client_reads(struct wire *w);

/* Returns the text after the first empty line. */
const char *after_head(const char *text);

/* The handler sends n zeros. */
enum stream_flow send_zeros(struct wire *w, size_t n);

#endif
