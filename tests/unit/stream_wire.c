/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/stream_wire.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "rpc/http/body_loan.h"
#include "rpc/http/read_pool.h"
#include "rpc/http/router.h"

static struct wire *wire_of(struct stream *s)
{
	struct wire *w = stream_data(s);

	assert_false(w->in_call);
	return w;
}

void wire_body(struct stream *s, struct evbuffer *data)
{
	struct wire *w = wire_of(s);

	w->n_body++;
	evbuffer_add_buffer(w->body, data);
}

void wire_body_end(struct stream *s)
{
	wire_of(s)->n_body_end++;
}

static void on_writable(struct stream *s)
{
	wire_of(s)->n_writable++;
}

void wire_half_closed(struct stream *s)
{
	wire_of(s)->n_half_closed++;
}

void wire_gone(struct stream *s)
{
	wire_of(s)->n_gone++;
}

void wire_shutdown(struct stream *s)
{
	wire_of(s)->n_shutdown++;
	stream_reply(s, 503, NULL, NULL, 0);
}

static const struct stream_handler handler = {
	.body = wire_body,
	.body_end = wire_body_end,
	.writable = on_writable,
	.gone = wire_gone,
};

void wire_request(struct stream *s, void *arg)
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

int stream_wire_setup(void **state)
{
	static const char *const methods[] = {"GET", "HEAD", "POST"};
	struct wire *w = mem_zalloc(sizeof(*w));

	loop_init(&w->loop);
	budget_init(&w->budget);
	w->router = router_new();
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		router_add(w->router, methods[i], "/", wire_request, w);
	w->pool = read_pool_new();
	w->socket = -1;
	w->got = evbuffer_new();
	w->body = evbuffer_new();
	http1_init(&w->http, &calls, w, &w->loop, &w->budget, 1);
	*state = w;
	return 0;
}

int stream_wire_teardown(void **state)
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

size_t wire_turn(struct wire *w, size_t max)
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

void client_sends(struct wire *w, const char *text)
{
	evbuffer_add(w->http.in, text, strlen(text));
	wire_turn(w, 0);
}

const char *client_reads(struct wire *w)
{
	static char text[4096];
	int n;

	while (wire_turn(w, SIZE_MAX) > 0)
		continue;
	n = evbuffer_remove(w->got, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

const char *after_head(const char *text)
{
	const char *end = strstr(text, "\r\n\r\n");

	assert_non_null(end);
	return end + 4;
}

enum stream_flow send_zeros(struct wire *w, size_t n)
{
	char *zeros = mem_zalloc(n);
	enum stream_flow flow;

	w->in_call = true;
	flow = stream_send_bytes(w->s, zeros, n);
	w->in_call = false;
	free(zeros);
	return flow;
}
