/* SPDX-License-Identifier: Apache-2.0 */
/* A body that a worker reads from the socket (rpc/http/body_loan.h). */
#include <event2/buffer.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/mem.h"
#include "rpc/http/body_loan.h"
#include "rpc/http/http1.h"
#include "rpc/http/stream.h"
#include "tests/unit/stream_wire.h"

#define LENT_HEAD "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n"

/* Makes a socket pair. The connection gets one end; returns the other one, for the client. */
static int client_socket(struct wire *w, int *server)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
	w->socket = *server = fds[0];
	return fds[1];
}

/* The client sends n bytes of the body on the socket, and the worker reads them. */
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
	/* The loop does not read, whether the stream is held or not. */
	assert_false(http1_wants_input(&w->http));
	assert_false(stream_lend(w->s, &second));
	stream_hold(w->s);
	stream_unhold(w->s);
	assert_false(http1_wants_input(&w->http));
	send_and_take(&loan, client, 200000, to);
	assert_int_equal(body_loan_read(&loan, to, 0), 0);
	assert_int_equal(write(client, GET, strlen(GET)), strlen(GET));
	assert_int_equal(loan.left, 100000);
	/* The worker does not read bytes after the body. */
	loan.left = 10;
	assert_int_equal(body_loan_read(&loan, to, 0), 10);
	assert_int_equal(body_loan_read(&loan, to, 0), 0);
	loan.taken = 300000;
	w->in_call = true;
	stream_return(w->s, &loan);
	w->in_call = false;
	assert_int_equal(w->n_body_end, 0);
	wire_turn(w, 0);
	assert_int_equal(w->n_body, 0);
	assert_int_equal(w->n_body_end, 1);
	stream_reply(w->s, 200, NULL, NULL, 0);
	client_reads(w);
	assert_int_equal(w->http.state, HTTP1_IDLE);
	evbuffer_free(to);
}

/* The loop reads what the worker left, which is too short to be lent again. */
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

/* The data of a large chunk is lent, but not its framing. */
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

/* The cases in which a body can't be lent. */
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

		stream_wire_setup(&fresh);
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
		stream_wire_teardown(&fresh);
	}
}

/* A held stream has a part of the body in `in`. The loop delivers it before the body is lent. */
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
	wire_turn(w, 0);
	assert_int_equal(evbuffer_get_length(w->body), 5);
	assert_true(stream_lend(w->s, &loan));
	assert_int_equal(loan.left, 299995);
	stream_return(w->s, &loan);
	assert_true(client >= 0);
}

/* The connection ends during a loan: the handler gets `gone`, and must still return the loan. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		STREAM_TEST(test_lend_all),   STREAM_TEST(test_lend_some),
		STREAM_TEST(test_lend_chunk), cmocka_unit_test(test_lend_refused),
		STREAM_TEST(test_lend_held),  STREAM_TEST(test_lend_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
