/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that wait in a connection are charged to the budget. */
#include <event2/buffer.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/budget.h"
#include "base/mem.h"
#include "rpc/http/http1.h"
#include "rpc/http/stream.h"
#include "tests/unit/stream_wire.h"

static void fill(struct wire *w, size_t n)
{
	char *text = mem_alloc(n + 1);

	memset(text, 'y', n);
	text[n] = '\0';
	client_sends(w, text);
	free(text);
}

/* An incomplete head, and requests behind the current one, are charged while they wait. */
static void test_waiting_bytes_are_counted(void **state)
{
	struct wire *w = *state;
	size_t head;

	client_sends(w, "GET / HTTP/1.1\r\nX: ");
	assert_int_equal(w->budget.used[BUDGET_BYTES], 0);
	fill(w, 10000);
	assert_in_range(w->budget.used[BUDGET_BYTES], 10000 - BUDGET_FREE_BYTES, 10100);
	client_sends(w, "\r\nHost: h\r\n\r\n");
	assert_int_equal(w->n_requests, 1);
	/* The head is kept in the request's arena. */
	head = w->budget.used[BUDGET_BYTES];
	assert_in_range(head, 10000 - BUDGET_FREE_BYTES, 40000);
	fill(w, 10000);
	assert_in_range(w->budget.used[BUDGET_BYTES], head + 10000 - BUDGET_FREE_BYTES,
			head + 10100);
}

static void test_heads_beyond_the_budget(void **state)
{
	struct wire *w = *state;

	w->budget.limit[BUDGET_BYTES] = BUDGET_RESERVE_BYTES + 2000;
	client_sends(w, "GET / HTTP/1.1\r\nX: ");
	fill(w, 4000);
	assert_int_equal(w->http.state, HTTP1_HEAD);
	fill(w, 4000);
	assert_non_null(strstr(client_reads(w), "HTTP/1.1 503 "));
	assert_true(http1_finished(&w->http));
	assert_true(http1_lingers(&w->http));
	assert_int_equal(w->budget.used[BUDGET_BYTES], 0);
}

static void test_read_ahead_beyond_the_budget(void **state)
{
	struct wire *w = *state;

	w->budget.limit[BUDGET_BYTES] = BUDGET_RESERVE_BYTES + 2000;
	client_sends(w, GET);
	fill(w, 10000);
	assert_int_equal(evbuffer_get_length(w->http.in), 0);
	assert_int_equal(w->budget.used[BUDGET_BYTES], 0);
	stream_reply(w->s, 200, "text/plain", "x", 1);
	assert_non_null(strstr(client_reads(w), "HTTP/1.1 200 "));
	assert_true(http1_finished(&w->http));
	assert_true(http1_lingers(&w->http));
}

/*
 * A response was reset while small chunks of its request waited in memory, and the account was
 * full. The waiting bytes were charged then, and when they did not fit, the client read a 503 in
 * the middle of the response, and the connection was not broken any more.
 */
static void test_a_reset_beyond_the_budget(void **state)
{
	struct wire *w = *state;

	w->budget.limit[BUDGET_BYTES] = BUDGET_RESERVE_BYTES + 2000;
	client_sends(w, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
	stream_head(w->s, 200, STREAM_LENGTH_UNKNOWN);
	stream_hold(w->s);
	client_sends(w, "5000\r\n");
	fill(w, 10000);
	assert_int_equal(w->http.state, HTTP1_BODY);
	assert_non_null(strstr(client_reads(w), "HTTP/1.1 200 "));
	stream_reset(w->s);
	http1_process(&w->http);
	assert_int_equal(w->http.state, HTTP1_BROKEN);
	assert_int_equal(evbuffer_get_length(w->http.out), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STREAM_TEST(test_waiting_bytes_are_counted),
		STREAM_TEST(test_heads_beyond_the_budget),
		STREAM_TEST(test_read_ahead_beyond_the_budget),
		STREAM_TEST(test_a_reset_beyond_the_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
