/* SPDX-License-Identifier: Apache-2.0 */
/* Rule 4 of streams (rpc/http/stream.h): there is one ending, and later calls do nothing. */
#include <event2/buffer.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rpc/http/http1.h"
#include "rpc/http/stream.h"
#include "tests/unit/stream_wire.h"

/* Makes every call of the interface on a stream that has ended. */
static void call_everything(struct stream *s)
{
	struct evbuffer *data = evbuffer_new();

	evbuffer_add(data, "late", 4);
	stream_header(s, "Late", "yes");
	stream_head(s, 500, 4);
	assert_int_equal(stream_send_bytes(s, "late", 4), STREAM_OK);
	assert_int_equal(stream_send(s, data), STREAM_OK);
	assert_int_equal(evbuffer_get_length(data), 0);
	stream_send_file(s, NULL, -1, 0, 4);
	stream_hold(s);
	stream_unhold(s);
	stream_reply(s, 500, NULL, NULL, 0);
	stream_reply_error(s, 500, "late");
	stream_finish(s);
	stream_reset(s);
	assert_int_equal(stream_pending_bytes(s), 0);
	assert_false(stream_live(s));
	evbuffer_free(data);
}

static void test_finish_is_the_end(void **state)
{
	struct wire *w = *state;
	struct stream *s;

	client_sends(w, GET);
	s = stream_ref(w->s);
	assert_true(stream_live(s));
	stream_reply(s, 200, "text/plain", "ok", 2);
	call_everything(s);
	assert_string_equal(after_head(client_reads(w)), "ok");
	call_everything(s);
	assert_string_equal(client_reads(w), "");
	http1_eof(&w->http);
	wire_turn(w, 0);
	assert_true(http1_finished(&w->http));
	call_everything(s);
	assert_int_equal(w->n_gone, 0);
	stream_unref(s);
}

static void test_reset_is_the_end(void **state)
{
	struct wire *w = *state;
	struct stream *s;

	client_sends(w, POST);
	s = stream_ref(w->s);
	stream_head(s, 200, 10);
	stream_reset(s);
	call_everything(s);
	assert_true(http1_finished(&w->http));
	assert_int_equal(w->http.ending, HTTP1_ABORT);
	http1_clear(&w->http);
	w->http.in = NULL;
	call_everything(s);
	assert_int_equal(w->n_gone + w->n_body_end, 0);
	stream_unref(s);
}

static void test_gone_is_the_end(void **state)
{
	struct wire *w = *state;
	struct stream *s;

	client_sends(w, POST);
	s = stream_ref(w->s);
	http1_broken(&w->http);
	assert_int_equal(w->n_gone, 1);
	call_everything(s);
	http1_clear(&w->http);
	w->http.in = NULL;
	call_everything(s);
	assert_int_equal(w->n_gone, 1);
	assert_int_equal(w->n_body_end, 0);
	stream_unref(s);
}

/* After the ending, no body is delivered. The connection takes the next request after the body. */
static void test_body_after_finish(void **state)
{
	struct wire *w = *state;

	client_sends(w, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n01234");
	assert_int_equal(w->n_body, 1);
	stream_reply(w->s, 403, NULL, NULL, 0);
	client_sends(w, "56789" GET);
	assert_int_equal(w->n_body, 1);
	assert_int_equal(w->n_body_end, 1); /* of the second request */
	assert_int_equal(w->n_requests, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STREAM_TEST(test_finish_is_the_end),
		STREAM_TEST(test_reset_is_the_end),
		STREAM_TEST(test_gone_is_the_end),
		STREAM_TEST(test_body_after_finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
