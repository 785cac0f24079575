/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rule 5 of streams (rpc/http/stream.h): `gone` always comes, and a reference keeps the memory.
 * Also: clients that shut down their sending side.
 */
#include <event2/buffer.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "rpc/http/http1.h"
#include "rpc/http/stream.h"
#include "tests/unit/stream_wire.h"

/* ---- rule 5: `gone` always comes; a reference keeps the memory ---- */

static void test_gone_before_head(void **state)
{
	struct wire *w = *state;
	struct stream *s;

	client_sends(w, "GET /?q=1 HTTP/1.1\r\nHost: h\r\nX-Kept: value\r\n\r\n");
	s = stream_ref(w->s);
	http1_clear(&w->http);
	w->http.in = NULL;
	assert_int_equal(w->n_gone, 1);
	assert_false(stream_head_sent(s));
	assert_string_equal(stream_header_in(s, "x-kept"), "value");
	assert_string_equal(stream_head_in(s)->query, "q=1");
	assert_string_equal(arena_strdup(stream_arena(s), "memory"), "memory");
	assert_ptr_equal(stream_data(s), w);
	stream_unref(s);
}

static void test_gone_in_body(void **state)
{
	static const char *const bodies[] = {
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n01234",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n01234",
		("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
		 "5\r\n01234\r\n0\r\n"),
	};

	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		struct wire *w;

		stream_wire_setup(state);
		w = *state;
		client_sends(w, bodies[i]);
		http1_eof(&w->http);
		wire_turn(w, 0);
		assert_int_equal(w->n_gone, 1);
		assert_int_equal(w->n_body_end, 0);
		assert_memory_equal(client_reads(w), "HTTP/1.1 400 ", 13);
		assert_true(http1_finished(&w->http));
		stream_wire_teardown(state);
	}
}

/* After a malformed body the handler gets `gone`; the client gets 400 if no response has begun. */
static void test_bad_body(void **state)
{
	for (int begun = 0; begun < 2; begun++) {
		struct wire *w;

		stream_wire_setup(state);
		w = *state;
		client_sends(w, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
		if (begun)
			stream_head(w->s, 200, STREAM_LENGTH_UNKNOWN);
		client_sends(w, "3\r\nabcX");
		assert_int_equal(w->n_gone, 1);
		assert_int_equal(w->n_body_end, 0);
		if (begun) {
			assert_true(http1_finished(&w->http));
			assert_int_equal(w->http.ending, HTTP1_ABORT);
		} else {
			assert_memory_equal(client_reads(w), "HTTP/1.1 400 ", 13);
			assert_true(http1_finished(&w->http));
		}
		stream_wire_teardown(state);
	}
}

/* A response that was complete before the malformed body still arrives. */
static void test_bad_body_behind_response(void **state)
{
	struct wire *w = *state;

	client_sends(w, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
	stream_reply(w->s, 403, NULL, "no", 2);
	client_sends(w, "3\r\nabcX");
	assert_string_equal(after_head(client_reads(w)), "no");
	assert_true(http1_finished(&w->http));
	assert_int_not_equal(w->http.ending, HTTP1_ABORT);
	assert_true(http1_lingers(&w->http));
}

/* ---- half-closes ---- */

/* The handler gets `half_closed` once, and may continue the response. */
static void test_half_close(void **state)
{
	static const struct stream_handler listening = {
		.half_closed = wire_half_closed,
		.gone = wire_gone,
	};

	for (int told = 0; told < 2; told++) {
		struct wire *w;

		stream_wire_setup(state);
		w = *state;
		client_sends(w, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab");
		if (told)
			stream_set_handler(w->s, &listening, w);
		http1_eof(&w->http);
		wire_turn(w, 0);
		assert_int_equal(w->n_half_closed, told);
		assert_int_equal(w->n_gone, 0);
		stream_reply(w->s, 200, NULL, "ok", 2);
		assert_string_equal(after_head(client_reads(w)), "ok");
		assert_true(http1_finished(&w->http));
		assert_int_not_equal(w->http.ending, HTTP1_ABORT);
		stream_wire_teardown(state);
	}
}

/* A handler that is set after the half-close gets `half_closed`, too. */
static void test_half_close_first(void **state)
{
	static const struct stream_handler listening = {.half_closed = wire_half_closed};
	struct wire *w = *state;

	client_sends(w, GET);
	http1_eof(&w->http);
	wire_turn(w, 0);
	w->in_call = true;
	stream_set_handler(w->s, &listening, w);
	w->in_call = false;
	assert_int_equal(w->n_half_closed, 0);
	wire_turn(w, 0);
	wire_turn(w, 0);
	assert_int_equal(w->n_half_closed, 1);
	stream_reply(w->s, 200, NULL, NULL, 0);
	client_reads(w);
	assert_true(http1_finished(&w->http));
}

/* Every request that came before the half-close is answered. */
static void test_half_close_behind_requests(void **state)
{
	struct wire *w = *state;

	evbuffer_add_printf(w->http.in, "%s%s%s", GET, GET, GET);
	wire_turn(w, 0);
	http1_eof(&w->http);
	for (unsigned i = 1; i <= 3; i++) {
		wire_turn(w, 0);
		assert_int_equal(w->n_requests, i);
		stream_reply(w->s, 200, NULL, "ok", 2);
		assert_string_equal(after_head(client_reads(w)), "ok");
	}
	assert_true(http1_finished(&w->http));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STREAM_TEST(test_gone_before_head),
		cmocka_unit_test(test_gone_in_body),
		cmocka_unit_test(test_bad_body),
		STREAM_TEST(test_bad_body_behind_response),
		cmocka_unit_test(test_half_close),
		STREAM_TEST(test_half_close_first),
		STREAM_TEST(test_half_close_behind_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
