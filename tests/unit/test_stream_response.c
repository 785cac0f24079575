/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The responses of streams: lengths, chunks, methods, header fields, interim answers, and bodies
 * from files.
 */
#include <event2/buffer.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/fd.h"
#include "rpc/http/http1.h"
#include "rpc/http/router.h"
#include "rpc/http/stream.h"
#include "tests/unit/stream_wire.h"

/* ---- the response ---- */

static void test_promised_length(void **state)
{
	struct wire *w = *state;
	const char *text;

	/* Bytes beyond the promised length are dropped. */
	client_sends(w, GET);
	stream_head(w->s, 200, 3);
	stream_send_bytes(w->s, "abcd", 4);
	stream_send_bytes(w->s, "e", 1);
	stream_finish(w->s);
	text = client_reads(w);
	assert_non_null(strstr(text, "\r\nContent-Length: 3\r\n"));
	assert_string_equal(after_head(text), "abc");
	assert_int_equal(w->http.state, HTTP1_IDLE);

	/* If bytes are missing, the client sees an aborted connection. */
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

/* For an HTTP/1.0 client, the close ends a body of unknown length. */
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

/* A value with a line end, which may come from a client, adds no field to the response. */
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
	/* The piece is cut to the promised length; the next piece is dropped. */
	stream_send_ref(w->s, bytes, sizeof(bytes), count_release, &released);
	stream_send_ref(w->s, bytes, sizeof(bytes), count_release, &released);
	stream_finish(w->s);
	client_reads(w);
	assert_int_equal(released, 3);
	/* The client leaves before the piece is written. */
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

	/* The client gets 100 before the engine waits for the body. */
	client_sends(w, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n"
			"Expect: 100-continue\r\n\r\n");
	assert_string_equal(client_reads(w), "HTTP/1.1 100 Continue\r\n\r\n");
	client_sends(w, "ab");
	stream_reply(w->s, 200, NULL, NULL, 0);
	assert_memory_equal(client_reads(w), "HTTP/1.1 200 ", 13);
	assert_int_equal(w->http.state, HTTP1_IDLE);
}

/* While the stream is held, no 100 is sent. A final answer takes its place. */
static void refuse(struct stream *s, void *arg)
{
	wire_request(s, arg);
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
	static const struct stream_handler telling = {.shutdown = wire_shutdown, .gone = wire_gone};
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
	/* The test does what conn.c would do. */
	w->http.file.left -= 4;
	http1_drained(&w->http);
	assert_int_equal(w->n_writable, 0);
	w->http.file.left -= 2;
	http1_drained(&w->http);
	assert_int_equal(w->n_writable, 1);
	stream_finish(w->s);
	wire_turn(w, SIZE_MAX);
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

/* A file that is shorter than promised aborts the connection. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		STREAM_TEST(test_promised_length),
		STREAM_TEST(test_chunks_and_trailers),
		STREAM_TEST(test_http_1_0),
		STREAM_TEST(test_head_method),
		STREAM_TEST(test_no_content),
		STREAM_TEST(test_header_injection),
		STREAM_TEST(test_send_ref),
		STREAM_TEST(test_interim),
		STREAM_TEST(test_interim_refused),
		STREAM_TEST(test_shutdown),
		STREAM_TEST(test_shutdown_of_the_deaf),
		STREAM_TEST(test_send_file),
		STREAM_TEST(test_send_file_to_head),
		STREAM_TEST(test_send_file_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
