/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules 1 and 2 of streams (rpc/http/stream.h): a send always takes the bytes; after FULL,
 * `writable` comes exactly once.
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

/* ---- rule 1: stream_send always takes the bytes ---- */

static void test_send_takes_all(void **state)
{
	struct wire *w = *state;
	size_t before;

	client_sends(w, GET);
	stream_head(w->s, 200, STREAM_HIGH_BYTES * 3);
	before = stream_pending_bytes(w->s);
	assert_int_equal(send_zeros(w, STREAM_HIGH_BYTES - before), STREAM_OK);
	assert_int_equal(send_zeros(w, 1), STREAM_FULL);
	assert_int_equal(send_zeros(w, STREAM_HIGH_BYTES + before), STREAM_FULL);
	assert_int_equal(stream_pending_bytes(w->s), STREAM_HIGH_BYTES * 2 + before + 1);
	send_zeros(w, STREAM_HIGH_BYTES - 1);
	stream_finish(w->s);
	while (wire_turn(w, 1000) > 0)
		continue;
	assert_int_equal(evbuffer_get_length(w->got), before + STREAM_HIGH_BYTES * 3);
	assert_int_equal(w->http.state, HTTP1_IDLE);
}

/* ---- rule 2: after FULL, `writable` comes exactly once ---- */

static void test_writable_once(void **state)
{
	struct wire *w = *state;

	client_sends(w, GET);
	stream_head(w->s, 200, STREAM_LENGTH_UNKNOWN);
	for (unsigned round = 1; round <= 3; round++) {
		assert_int_equal(send_zeros(w, STREAM_HIGH_BYTES + 1), STREAM_FULL);
		assert_int_equal(send_zeros(w, 100), STREAM_FULL);
		while (stream_pending_bytes(w->s) - 1000 >= STREAM_LOW_BYTES) {
			assert_int_equal(wire_turn(w, 1000), 1000);
			assert_int_equal(w->n_writable, round - 1);
		}
		wire_turn(w, 1000);
		assert_int_equal(w->n_writable, round);
		while (wire_turn(w, 1000) > 0)
			continue;
		assert_int_equal(w->n_writable, round);
	}
	/* Without FULL, `writable` does not come. */
	assert_int_equal(send_zeros(w, 1000), STREAM_OK);
	client_reads(w);
	assert_int_equal(w->n_writable, 3);
}

static void test_no_writable_after_end(void **state)
{
	struct wire *w = *state;

	client_sends(w, GET);
	stream_head(w->s, 200, STREAM_LENGTH_UNKNOWN);
	assert_int_equal(send_zeros(w, STREAM_HIGH_BYTES * 2), STREAM_FULL);
	stream_finish(w->s);
	while (wire_turn(w, SIZE_MAX) > 0)
		continue;
	assert_int_equal(w->n_writable, 0);
	assert_int_equal(w->n_gone, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STREAM_TEST(test_send_takes_all),
		STREAM_TEST(test_writable_once),
		STREAM_TEST(test_no_writable_after_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
