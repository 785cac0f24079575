/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract of streams, rule by rule (rpc/http/stream.h), over HTTP/1.1 without a socket: the
 * test is the client, and decides what has arrived and what was read.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/budget.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "rpc/http/body_loan.h"
#include "rpc/http/http1.h"
#include "rpc/http/read_pool.h"
#include "rpc/http/router.h"
#include "rpc/http/stream.h"

#define GET  "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"

/* What a handler heard, in order. */
struct wire {
	struct loop loop;
	struct budget budget;
	struct router *router;
	struct read_pool *pool;
	int socket; /* of bodies that are lent; -1: none are */
	struct http1 http;
	struct evbuffer *got; /* what the client read */
	struct stream *s;     /* of the latest request; valid while it, or a reference, lives */

	bool in_call; /* of the handler's into the stream: nothing may be called back */
	struct evbuffer *body;
	unsigned n_requests, n_body, n_body_end, n_writable, n_half_closed, n_gone, n_shutdown;
};

static struct wire *wire_of(struct stream *s)
{
	struct wire *w = stream_data(s);

	assert_false(w->in_call);
	return w;
}

static void on_body(struct stream *s, struct evbuffer *data)
{
	struct wire *w = wire_of(s);

	w->n_body++;
	evbuffer_add_buffer(w->body, data);
}

static void on_body_end(struct stream *s)
{
	wire_of(s)->n_body_end++;
}

static void on_writable(struct stream *s)
{
	wire_of(s)->n_writable++;
}

static void on_half_closed(struct stream *s)
{
	wire_of(s)->n_half_closed++;
}

static void on_gone(struct stream *s)
{
	wire_of(s)->n_gone++;
}

static void on_shutdown(struct stream *s)
{
	wire_of(s)->n_shutdown++;
	stream_reply(s, 503, NULL, NULL, 0);
}

static const struct stream_handler handler = {
	.body = on_body,
	.body_end = on_body_end,
	.writable = on_writable,
	.gone = on_gone,
};

static void on_request(struct stream *s, void *arg)
{
	struct wire *w = arg;

	w->s = s;
	w->n_requests++;
	stream_set_handler(s, &handler, w);
}

static void on_wake(void *arg)
{
}

static void on_head(struct stream *s, void *arg)
{
	struct wire *w = arg;

	router_dispatch(w->router, s);
}

static const char *date(void *arg)
{
	return "Sun, 06 Nov 1994 08:49:37 GMT";
}

static bool lend(struct body_loan *loan, void *arg)
{
	struct wire *w = arg;

	if (w->socket < 0)
		return false;
	loan->fd = fcntl(w->socket, F_DUPFD_CLOEXEC, 3);
	loan->pool = read_pool_ref(w->pool);
	return true;
}

static const struct http1_calls calls = {
	.wake = on_wake,
	.request = on_head,
	.date = date,
	.lend = lend,
};

static int setup(void **state)
{
	static const char *const methods[] = {"GET", "HEAD", "POST"};
	struct wire *w = mem_zalloc(sizeof(*w));

	loop_init(&w->loop);
	budget_init(&w->budget);
	w->router = router_new();
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		router_add(w->router, methods[i], "/", on_request, w);
	w->pool = read_pool_new();
	w->socket = -1;
	w->got = evbuffer_new();
	w->body = evbuffer_new();
	http1_init(&w->http, &calls, w, &w->loop, &w->budget, 1);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct wire *w = *state;

	if (w->http.in)
		http1_clear(&w->http);
	assert_int_equal(w->budget.used[BUDGET_STREAMS], 0);
	assert_int_equal(w->budget.used[BUDGET_BYTES], 0);
	read_pool_unref(w->pool);
	router_free(w->router);
	evbuffer_free(w->got);
	evbuffer_free(w->body);
	loop_clear(&w->loop);
	free(w);
	return 0;
}

/* A turn of the loop; the client reads up to max bytes of what was written. */
static size_t turn(struct wire *w, size_t max)
{
	int n;

	http1_process(&w->http);
	event_base_loop(w->loop.base, EVLOOP_NONBLOCK);
	http1_process(&w->http);
	n = evbuffer_remove_buffer(w->http.out, w->got, max);
	if (n > 0)
		http1_drained(&w->http);
	http1_process(&w->http);
	return n > 0 ? (size_t)n : 0;
}

/* The client sends text; nothing is read of an answer. */
static void client_sends(struct wire *w, const char *text)
{
	evbuffer_add(w->http.in, text, strlen(text));
	turn(w, 0);
}

/* The client reads all there is; returns the text since the last call. */
static const char *client_reads(struct wire *w)
{
	static char text[4096];
	int n;

	while (turn(w, SIZE_MAX) > 0)
		continue;
	n = evbuffer_remove(w->got, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* What follows the first empty line. */
static const char *after_head(const char *text)
{
	const char *end = strstr(text, "\r\n\r\n");

	assert_non_null(end);
	return end + 4;
}

static enum stream_flow send_zeros(struct wire *w, size_t n)
{
	char *zeros = mem_zalloc(n);
	enum stream_flow flow;

	w->in_call = true;
	flow = stream_send_bytes(w->s, zeros, n);
	w->in_call = false;
	free(zeros);
	return flow;
}

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
	while (turn(w, 1000) > 0)
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
			assert_int_equal(turn(w, 1000), 1000);
			assert_int_equal(w->n_writable, round - 1);
		}
		turn(w, 1000);
		assert_int_equal(w->n_writable, round);
		while (turn(w, 1000) > 0)
			continue;
		assert_int_equal(w->n_writable, round);
	}
	/* Without FULL it does not come. */
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
	while (turn(w, SIZE_MAX) > 0)
		continue;
	assert_int_equal(w->n_writable, 0);
	assert_int_equal(w->n_gone, 0);
}

/* ---- rule 3: while held, no body is delivered and the socket is not read ---- */

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
	turn(w, 0);
	assert_int_equal(evbuffer_get_length(w->body), 10);
	assert_int_equal(w->n_body_end, 1);
}

/* Held while it is delivered: the rest waits, chunked or not. */
static void hold_on_body(struct stream *s, struct evbuffer *data)
{
	on_body(s, data);
	stream_hold(s);
}

static void test_hold_in_callback(void **state)
{
	static const struct stream_handler holding = {
		.body = hold_on_body,
		.body_end = on_body_end,
		.gone = on_gone,
	};
	struct wire *w = *state;

	client_sends(w, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
	stream_set_handler(w->s, &holding, w);
	client_sends(w, "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n");
	assert_int_equal(evbuffer_get_length(w->body), 3);
	assert_int_equal(w->n_body_end, 0);
	stream_unhold(w->s);
	turn(w, 0);
	assert_int_equal(evbuffer_get_length(w->body), 6);
	assert_int_equal(w->n_body_end, 0);
	stream_unhold(w->s);
	turn(w, 0);
	assert_int_equal(w->n_body_end, 1);
}

/* ---- rule 4: one ending, and later calls do nothing ---- */

/* Every call there is, on a stream that has ended. */
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
	turn(w, 0);
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

/* After the ending no body is delivered; the connection goes on behind it. */
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

		setup(state);
		w = *state;
		client_sends(w, bodies[i]);
		http1_eof(&w->http);
		turn(w, 0);
		assert_int_equal(w->n_gone, 1);
		assert_int_equal(w->n_body_end, 0);
		assert_memory_equal(client_reads(w), "HTTP/1.1 400 ", 13);
		assert_true(http1_finished(&w->http));
		teardown(state);
	}
}

/* A broken body: gone to the handler, 400 to the client unless the response has begun. */
static void test_bad_body(void **state)
{
	for (int begun = 0; begun < 2; begun++) {
		struct wire *w;

		setup(state);
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
		teardown(state);
	}
}

/* The response was complete before: it arrives. */
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

/* A handler is told, once, and the response goes on as it likes. */
static void test_half_close(void **state)
{
	static const struct stream_handler listening = {
		.half_closed = on_half_closed,
		.gone = on_gone,
	};

	for (int told = 0; told < 2; told++) {
		struct wire *w;

		setup(state);
		w = *state;
		client_sends(w, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab");
		if (told)
			stream_set_handler(w->s, &listening, w);
		http1_eof(&w->http);
		turn(w, 0);
		assert_int_equal(w->n_half_closed, told);
		assert_int_equal(w->n_gone, 0);
		stream_reply(w->s, 200, NULL, "ok", 2);
		assert_string_equal(after_head(client_reads(w)), "ok");
		assert_true(http1_finished(&w->http));
		assert_int_not_equal(w->http.ending, HTTP1_ABORT);
		teardown(state);
	}
}

/* It happened before the handler was there that wants to know. */
static void test_half_close_first(void **state)
{
	static const struct stream_handler listening = {.half_closed = on_half_closed};
	struct wire *w = *state;

	client_sends(w, GET);
	http1_eof(&w->http);
	turn(w, 0);
	w->in_call = true;
	stream_set_handler(w->s, &listening, w);
	w->in_call = false;
	assert_int_equal(w->n_half_closed, 0);
	turn(w, 0);
	turn(w, 0);
	assert_int_equal(w->n_half_closed, 1);
	stream_reply(w->s, 200, NULL, NULL, 0);
	client_reads(w);
	assert_true(http1_finished(&w->http));
}

/* All that was sent before the half-close is answered. */
static void test_half_close_behind_requests(void **state)
{
	struct wire *w = *state;

	evbuffer_add_printf(w->http.in, "%s%s%s", GET, GET, GET);
	turn(w, 0);
	http1_eof(&w->http);
	for (unsigned i = 1; i <= 3; i++) {
		turn(w, 0);
		assert_int_equal(w->n_requests, i);
		stream_reply(w->s, 200, NULL, "ok", 2);
		assert_string_equal(after_head(client_reads(w)), "ok");
	}
	assert_true(http1_finished(&w->http));
}

/* ---- the response ---- */

static void test_promised_length(void **state)
{
	struct wire *w = *state;
	const char *text;

	/* What is too much is dropped. */
	client_sends(w, GET);
	stream_head(w->s, 200, 3);
	stream_send_bytes(w->s, "abcd", 4);
	stream_send_bytes(w->s, "e", 1);
	stream_finish(w->s);
	text = client_reads(w);
	assert_non_null(strstr(text, "\r\nContent-Length: 3\r\n"));
	assert_string_equal(after_head(text), "abc");
	assert_int_equal(w->http.state, HTTP1_IDLE);

	/* What is too little is seen. */
	client_sends(w, GET);
	stream_head(w->s, 200, 3);
	stream_send_bytes(w->s, "ab", 2);
	stream_finish(w->s);
	assert_true(http1_finished(&w->http));
	assert_int_equal(w->http.ending, HTTP1_ABORT);
}

static void test_chunks_and_trailers(void **state)
{
	struct wire *w = *state;
	struct evbuffer *data = evbuffer_new();
	const char *text;

	client_sends(w, GET);
	stream_header(w->s, "X-Head", "1");
	stream_head(w->s, 200, STREAM_LENGTH_UNKNOWN);
	stream_send_bytes(w->s, "abc", 3);
	stream_send_bytes(w->s, "", 0);
	evbuffer_add(data, "0123456789abcdef", 16);
	stream_send(w->s, data);
	stream_headerf(w->s, "X-Trailer", "%d", 2);
	stream_finish(w->s);
	text = client_reads(w);
	assert_non_null(strstr(text, "\r\nX-Head: 1\r\n"));
	assert_non_null(strstr(text, "\r\nTransfer-Encoding: chunked\r\n"));
	assert_string_equal(after_head(text),
			    "3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nX-Trailer: 2\r\n\r\n");
	evbuffer_free(data);
}

/* An HTTP/1.0 client sees the end of an unknown length by the close. */
static void test_http_1_0(void **state)
{
	struct wire *w = *state;
	const char *text;

	client_sends(w, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	stream_head(w->s, 200, STREAM_LENGTH_UNKNOWN);
	stream_send_bytes(w->s, "abc", 3);
	stream_finish(w->s);
	text = client_reads(w);
	assert_null(strstr(text, "chunked"));
	assert_non_null(strstr(text, "\r\nConnection: close\r\n"));
	assert_string_equal(after_head(text), "abc");
	assert_true(http1_finished(&w->http));
	assert_int_not_equal(w->http.ending, HTTP1_ABORT);
}

static void test_head_method(void **state)
{
	struct wire *w = *state;
	const char *text;

	client_sends(w, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
	stream_head(w->s, 200, 1000);
	assert_int_equal(send_zeros(w, 500), STREAM_OK);
	stream_finish(w->s);
	text = client_reads(w);
	assert_non_null(strstr(text, "\r\nContent-Length: 1000\r\n"));
	assert_string_equal(after_head(text), "");
	client_sends(w, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
	stream_head(w->s, 200, STREAM_LENGTH_UNKNOWN);
	send_zeros(w, 500);
	stream_finish(w->s);
	assert_string_equal(after_head(client_reads(w)), "");
	assert_int_equal(w->http.state, HTTP1_IDLE);
}

static void test_no_content(void **state)
{
	struct wire *w = *state;
	const char *text;

	client_sends(w, GET);
	stream_reply(w->s, 204, NULL, NULL, 0);
	text = client_reads(w);
	assert_null(strstr(text, "Content-Length"));
	assert_null(strstr(text, "Transfer-Encoding"));
	assert_int_equal(w->http.state, HTTP1_IDLE);
}

/* No value can end a line: what a handler passes on may come from a client. */
static void test_header_injection(void **state)
{
	struct wire *w = *state;
	const char *text;

	client_sends(w, GET);
	stream_header(w->s, "X", "a\r\nEvil: yes\r\n\r\nbody");
	stream_header(w->s, "Y", "old");
	stream_header_set(w->s, "y", "new\n");
	stream_reply(w->s, 200, NULL, NULL, 0);
	text = client_reads(w);
	assert_null(strstr(text, "\nEvil"));
	assert_null(strstr(text, "old"));
	assert_non_null(strstr(text, "\r\ny: new \r\n"));
	assert_string_equal(after_head(text), "");
}

static void count_release(const void *p, size_t n, void *arg)
{
	unsigned *count = arg;

	assert_int_equal(n, 1000);
	(*count)++;
}

static void test_send_ref(void **state)
{
	static const char bytes[1000];
	struct wire *w = *state;
	unsigned released = 0;

	client_sends(w, GET);
	stream_head(w->s, 200, 1500);
	stream_send_ref(w->s, bytes, sizeof(bytes), count_release, &released);
	assert_int_equal(released, 0);
	client_reads(w);
	assert_int_equal(released, 1);
	/* Cut to the promised length; then nothing of it. */
	stream_send_ref(w->s, bytes, sizeof(bytes), count_release, &released);
	stream_send_ref(w->s, bytes, sizeof(bytes), count_release, &released);
	stream_finish(w->s);
	client_reads(w);
	assert_int_equal(released, 3);
	/* The client goes before it is written. */
	client_sends(w, GET);
	stream_head(w->s, 200, 1000);
	stream_send_ref(w->s, bytes, sizeof(bytes), count_release, &released);
	http1_clear(&w->http);
	w->http.in = NULL;
	assert_int_equal(released, 4);
}

static void test_interim(void **state)
{
	struct wire *w = *state;

	/* 100 comes before the body is waited for. */
	client_sends(w, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n"
			"Expect: 100-continue\r\n\r\n");
	assert_string_equal(client_reads(w), "HTTP/1.1 100 Continue\r\n\r\n");
	client_sends(w, "ab");
	stream_reply(w->s, 200, NULL, NULL, 0);
	assert_memory_equal(client_reads(w), "HTTP/1.1 200 ", 13);
	assert_int_equal(w->http.state, HTTP1_IDLE);
}

/* While held, the client is not asked for the body; an answer instead of 100 ends it. */
static void refuse(struct stream *s, void *arg)
{
	on_request(s, arg);
	stream_hold(s);
}

static void test_interim_refused(void **state)
{
	struct wire *w = *state;
	const char *text;

	router_add(w->router, "POST", "/refuse", refuse, w);
	client_sends(w, "POST /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n"
			"Expect: 100-continue\r\n\r\n");
	assert_string_equal(client_reads(w), "");
	stream_reply(w->s, 417, NULL, NULL, 0);
	text = client_reads(w);
	assert_memory_equal(text, "HTTP/1.1 417 ", 13);
	assert_non_null(strstr(text, "\r\nConnection: close\r\n"));
	assert_true(http1_finished(&w->http));
}

static void test_shutdown(void **state)
{
	static const struct stream_handler telling = {.shutdown = on_shutdown, .gone = on_gone};
	struct wire *w = *state;
	const char *text;

	client_sends(w, GET);
	stream_set_handler(w->s, &telling, w);
	http1_shutdown(&w->http);
	assert_int_equal(w->n_shutdown, 1);
	text = client_reads(w);
	assert_memory_equal(text, "HTTP/1.1 503 ", 13);
	assert_non_null(strstr(text, "\r\nConnection: close\r\n"));
	assert_true(http1_finished(&w->http));
	assert_int_equal(w->n_gone, 0);
}

static void test_shutdown_of_the_deaf(void **state)
{
	struct wire *w = *state;

	client_sends(w, GET);
	http1_shutdown(&w->http);
	assert_int_equal(w->n_gone, 1);
	assert_true(http1_finished(&w->http));
}

/* ---- files ---- */

static int memory_file(const char *content)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, content, strlen(content)), 0);
	return fd;
}

static void test_send_file(void **state)
{
	struct wire *w = *state;
	FD_AUTO int fd = memory_file("0123456789");

	client_sends(w, GET);
	stream_head(w->s, 200, 6);
	w->in_call = true;
	stream_send_file(w->s, NULL, fd, 2, 6);
	w->in_call = false;
	client_reads(w);
	assert_int_equal(w->n_writable, 0);
	assert_int_equal(w->http.file.fd, fd);
	assert_int_equal(w->http.file.offset, 2);
	assert_int_equal(w->http.file.left, 6);
	/* What the connection does. */
	w->http.file.left -= 4;
	http1_drained(&w->http);
	assert_int_equal(w->n_writable, 0);
	w->http.file.left -= 2;
	http1_drained(&w->http);
	assert_int_equal(w->n_writable, 1);
	stream_finish(w->s);
	turn(w, SIZE_MAX);
	assert_int_equal(w->http.state, HTTP1_IDLE);
}

static void test_send_file_to_head(void **state)
{
	struct wire *w = *state;
	FD_AUTO int fd = memory_file("0123456789");

	client_sends(w, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
	stream_head(w->s, 200, 10);
	stream_send_file(w->s, NULL, fd, 0, 10);
	assert_int_equal(w->http.file.left, 0);
	client_reads(w);
	assert_int_equal(w->n_writable, 1);
}

/* The file was shorter than promised. */
static void test_send_file_fails(void **state)
{
	struct wire *w = *state;
	FD_AUTO int fd = memory_file("0123456789");

	client_sends(w, GET);
	stream_head(w->s, 200, 20);
	stream_send_file(w->s, NULL, fd, 0, 20);
	http1_abort(&w->http);
	assert_int_equal(w->n_gone, 1);
	assert_true(http1_finished(&w->http));
	assert_int_equal(w->http.ending, HTTP1_ABORT);
}

/* ---- a body that a worker reads from the socket ---- */

#define LENT_HEAD "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n"

/* A socket for the connection, of which the test has the other end. */
static int client_socket(struct wire *w, int *server)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
	w->socket = *server = fds[0];
	return fds[1];
}

/* The client sends so many bytes of a body by the socket, and the worker takes them. */
static void send_and_take(struct body_loan *loan, int client, size_t n, struct evbuffer *to)
{
	static const char zeros[100000];
	size_t part, before = evbuffer_get_length(to), end = before + n;

	for (; n; n -= part) {
		part = n < sizeof(zeros) ? n : sizeof(zeros);
		assert_int_equal(write(client, zeros, part), part);
		while (evbuffer_get_length(to) < end && body_loan_read(loan, to, 0))
			continue;
	}
}

static void test_lend_all(void **state)
{
	struct wire *w = *state;
	FD_AUTO int server = -1;
	FD_AUTO int client = client_socket(w, &server);
	struct evbuffer *to = evbuffer_new();
	struct body_loan loan, second;

	client_sends(w, LENT_HEAD);
	w->in_call = true;
	assert_true(stream_lend(w->s, &loan));
	w->in_call = false;
	assert_int_equal(loan.left, 300000);
	/* Nobody else reads; to hold and unhold changes nothing of it. */
	assert_false(http1_wants_input(&w->http));
	assert_false(stream_lend(w->s, &second));
	stream_hold(w->s);
	stream_unhold(w->s);
	assert_false(http1_wants_input(&w->http));
	send_and_take(&loan, client, 200000, to);
	assert_int_equal(body_loan_read(&loan, to, 0), 0);
	assert_int_equal(write(client, GET, strlen(GET)), strlen(GET));
	assert_int_equal(loan.left, 100000);
	/* What follows the body is not the worker's. */
	loan.left = 10;
	assert_int_equal(body_loan_read(&loan, to, 0), 10);
	assert_int_equal(body_loan_read(&loan, to, 0), 0);
	loan.taken = 300000;
	w->in_call = true;
	stream_return(w->s, &loan);
	w->in_call = false;
	assert_int_equal(w->n_body_end, 0);
	turn(w, 0);
	assert_int_equal(w->n_body, 0);
	assert_int_equal(w->n_body_end, 1);
	stream_reply(w->s, 200, NULL, NULL, 0);
	client_reads(w);
	assert_int_equal(w->http.state, HTTP1_IDLE);
	evbuffer_free(to);
}

/* What the worker left comes as always; then there is too little to lend again. */
static void test_lend_some(void **state)
{
	struct wire *w = *state;
	FD_AUTO int server = -1;
	FD_AUTO int client = client_socket(w, &server);
	struct evbuffer *to = evbuffer_new();
	struct body_loan loan;

	client_sends(w, LENT_HEAD);
	assert_true(stream_lend(w->s, &loan));
	send_and_take(&loan, client, 299995, to);
	assert_int_equal(loan.taken, 299995);
	stream_return(w->s, &loan);
	assert_int_equal(loan.fd, -1);
	assert_true(http1_wants_input(&w->http));
	assert_false(stream_lend(w->s, &loan));
	client_sends(w, "12345" GET);
	assert_int_equal(evbuffer_get_length(w->body), 5);
	assert_int_equal(w->n_body_end, 1);
	stream_reply(w->s, 200, NULL, NULL, 0);
	client_reads(w);
	assert_int_equal(w->n_requests, 2);
	evbuffer_free(to);
}

/* A large chunk is lent as a body is; its framing is not. */
static void test_lend_chunk(void **state)
{
	struct wire *w = *state;
	FD_AUTO int server = -1;
	FD_AUTO int client = client_socket(w, &server);
	struct evbuffer *to = evbuffer_new();
	struct body_loan loan;

	client_sends(w, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
	assert_false(stream_lend(w->s, &loan));
	client_sends(w, "493e0\r\n"); /* 300,000 */
	assert_true(stream_lend(w->s, &loan));
	assert_int_equal(loan.left, 300000);
	send_and_take(&loan, client, 300000, to);
	stream_return(w->s, &loan);
	client_sends(w, "\r\n3\r\nabc\r\n0\r\n\r\n");
	assert_int_equal(evbuffer_get_length(w->body), 3);
	assert_int_equal(w->n_body_end, 1);
	evbuffer_free(to);
}

/* Where a body can't be lent. */
static void test_lend_refused(void **state)
{
	static const struct {
		const char *name, *sent;
		bool socket, eof, finished;
	} cases[] = {
		{"no socket", LENT_HEAD, false, false, false},
		{"the end is here", LENT_HEAD, true, true, false},
		{"answered", LENT_HEAD, true, false, true},
		{"a small body", POST, true, false, false},
		{"no body", GET, true, false, false},
	};
	struct body_loan loan;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		void *fresh;
		struct wire *w;
		int server = -1, client;

		setup(&fresh);
		w = fresh;
		client = client_socket(w, &server);
		if (!cases[i].socket)
			w->socket = -1;
		evbuffer_add(w->http.in, cases[i].sent, strlen(cases[i].sent));
		http1_process(&w->http);
		stream_ref(w->s);
		w->http.eof = cases[i].eof;
		if (cases[i].finished)
			stream_reply(w->s, 200, NULL, NULL, 0);
		if (stream_lend(w->s, &loan))
			fail_msg("%s: lent", cases[i].name);
		stream_unref(w->s);
		close(client);
		close(server);
		teardown(&fresh);
	}
}

/* A held stream has a part of the body in `in`: that comes first. */
static void test_lend_held(void **state)
{
	struct wire *w = *state;
	FD_AUTO int server = -1;
	FD_AUTO int client = client_socket(w, &server);
	struct body_loan loan;

	client_sends(w, LENT_HEAD);
	stream_hold(w->s);
	client_sends(w, "12345");
	assert_false(stream_lend(w->s, &loan));
	stream_unhold(w->s);
	turn(w, 0);
	assert_int_equal(evbuffer_get_length(w->body), 5);
	assert_true(stream_lend(w->s, &loan));
	assert_int_equal(loan.left, 299995);
	stream_return(w->s, &loan);
	assert_true(client >= 0);
}

/* The connection ends while a worker has the body: `gone` comes, and the loan still has to. */
static void test_lend_gone(void **state)
{
	struct wire *w = *state;
	FD_AUTO int server = -1;
	FD_AUTO int client = client_socket(w, &server);
	struct evbuffer *to = evbuffer_new();
	struct body_loan loan;

	client_sends(w, LENT_HEAD);
	assert_true(stream_lend(w->s, &loan));
	stream_ref(w->s);
	http1_clear(&w->http);
	w->http.in = NULL;
	close(fd_take(&server));
	assert_int_equal(w->n_gone, 1);
	send_and_take(&loan, client, 1000, to);
	stream_return(w->s, &loan);
	stream_unref(w->s);
	assert_int_equal(send(client, "x", 1, MSG_NOSIGNAL), -1);
	evbuffer_free(to);
}

/* ---- what waits counts ---- */

static void fill(struct wire *w, size_t n)
{
	char *text = mem_alloc(n + 1);

	memset(text, 'y', n);
	text[n] = '\0';
	client_sends(w, text);
	free(text);
}

/* A head that is not complete, and requests behind the one in work, within the budget or not. */
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_send_takes_all),
		TEST(test_writable_once),
		TEST(test_no_writable_after_end),
		TEST(test_hold),
		TEST(test_hold_in_callback),
		TEST(test_finish_is_the_end),
		TEST(test_reset_is_the_end),
		TEST(test_gone_is_the_end),
		TEST(test_body_after_finish),
		TEST(test_gone_before_head),
		TEST(test_waiting_bytes_are_counted),
		TEST(test_heads_beyond_the_budget),
		TEST(test_read_ahead_beyond_the_budget),
		cmocka_unit_test(test_gone_in_body),
		cmocka_unit_test(test_bad_body),
		TEST(test_bad_body_behind_response),
		cmocka_unit_test(test_half_close),
		TEST(test_half_close_first),
		TEST(test_half_close_behind_requests),
		TEST(test_promised_length),
		TEST(test_chunks_and_trailers),
		TEST(test_http_1_0),
		TEST(test_head_method),
		TEST(test_no_content),
		TEST(test_header_injection),
		TEST(test_send_ref),
		TEST(test_interim),
		TEST(test_interim_refused),
		TEST(test_shutdown),
		TEST(test_shutdown_of_the_deaf),
		TEST(test_send_file),
		TEST(test_send_file_to_head),
		TEST(test_send_file_fails),
		TEST(test_lend_all),
		TEST(test_lend_some),
		TEST(test_lend_chunk),
		cmocka_unit_test(test_lend_refused),
		TEST(test_lend_held),
		TEST(test_lend_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
