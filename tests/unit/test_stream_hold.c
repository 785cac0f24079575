/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rule 3 of streams (rpc/http/stream.h): while a stream is held, no body is delivered and the
 * socket is not read.
 */
#include <event2/buffer.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "rpc/http/http1.h"
#include "rpc/http/stream.h"
#include "tests/unit/stream_wire.h"

static void test_hold(void **state)
{
	struct wire *w = *state;

	client_sends(w, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n");
	assert_true(http1_wants_input(&w->http));
	w->in_call = true;
	stream_hold(w->s);
	stream_hold(w->s);
	w->in_call = false;
	assert_false(http1_wants_input(&w->http));
	client_sends(w, "0123456789");
	assert_int_equal(w->n_body + w->n_body_end, 0);
	w->in_call = true;
	stream_unhold(w->s);
	w->in_call = false;
	assert_int_equal(w->n_body + w->n_body_end, 0);
	wire_turn(w, 0);
	assert_int_equal(evbuffer_get_length(w->body), 10);
	assert_int_equal(w->n_body_end, 1);
}

/* A handler that holds the stream inside `body` gets the rest later, chunked or not. */
static void hold_on_body(struct stream *s, struct evbuffer *data)
{
	wire_body(s, data);
	stream_hold(s);
}

static void test_hold_in_callback(void **state)
{
	static const struct stream_handler holding = {
		.body = hold_on_body,
		.body_end = wire_body_end,
		.gone = wire_gone,
	};
	struct wire *w = *state;

	client_sends(w, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
	stream_set_handler(w->s, &holding, w);
	client_sends(w, "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n");
	assert_int_equal(evbuffer_get_length(w->body), 3);
	assert_int_equal(w->n_body_end, 0);
	stream_unhold(w->s);
	wire_turn(w, 0);
	assert_int_equal(evbuffer_get_length(w->body), 6);
	assert_int_equal(w->n_body_end, 0);
	stream_unhold(w->s);
	wire_turn(w, 0);
	assert_int_equal(w->n_body_end, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STREAM_TEST(test_hold),
		STREAM_TEST(test_hold_in_callback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
