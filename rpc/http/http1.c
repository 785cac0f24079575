/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/http/http1.h"

#include <event2/buffer.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/budget.h"
#include "base/log.h"
#include "base/mem.h"
#include "rpc/http/http1_impl.h"
#include "rpc/http/http_status.h"
#include "rpc/http/stream_impl.h"

void http1_init(struct http1 *h, const struct http1_calls *calls, void *arg, struct loop *loop,
		struct budget *budget, uint64_t id)
{
	memset(h, 0, sizeof(*h));
	h->calls = calls;
	h->arg = arg;
	h->id = id;
	h->loop = loop;
	h->budget = budget;
	h->in = evbuffer_new();
	h->out = evbuffer_new();
	h->file.fd = -1;
	h->steps_left = UINT_MAX;
	budget_share_init(&h->input, budget, BUDGET_CLASS_UNAUTHENTICATED);
}

/* ---- states ---- */

static const char *state_name(enum http1_state state)
{
	static const char *const names[] = {
		[HTTP1_IDLE] = "idle",	       [HTTP1_HEAD] = "head",
		[HTTP1_BODY] = "body",	       [HTTP1_LENT] = "body lent",
		[HTTP1_RESPONSE] = "response", [HTTP1_LAST] = "last bytes",
		[HTTP1_BROKEN] = "broken",
	};

	return names[state];
}

void http1_set_state(struct http1 *h, enum http1_state state)
{
	if (state == h->state)
		return;
	log_debug("connection %llu: %s -> %s", (unsigned long long)h->id, state_name(h->state),
		  state_name(state));
	h->state = state;
}

void http1_raise_ending(struct http1 *h, enum http1_ending ending)
{
	if (ending > h->ending)
		h->ending = ending;
}

void http1_close_after(struct http1 *h)
{
	http1_raise_ending(h, HTTP1_CLOSE);
}

void http1_break(struct http1 *h)
{
	h->file.left = 0;
	h->file.fd = -1;
	http1_set_state(h, HTTP1_BROKEN);
}

void http1_wake(struct http1 *h)
{
	h->calls->wake(h->arg);
}

/* Releases the current request. */
static void http1_release(struct http1 *h)
{
	struct stream *s = h->stream;

	if (!s)
		return;
	h->stream = NULL;
	h->file.left = 0;
	h->file.fd = -1;
	budget_give(h->budget, BUDGET_STREAMS, 1);
	stream_detach(s);
}

void http1_clear(struct http1 *h)
{
	http1_release(h);
	budget_share_clear(&h->input);
	evbuffer_free(h->in);
	evbuffer_free(h->out);
}

/* ---- the request ---- */

/*
 * Answers an invalid request, and closes the connection. No stream exists for it. The answer to
 * HEAD has no content (RFC 9110 section 9.3.2).
 */
static void refuse(struct http1 *h, bool is_head_request, int status, const char *why)
{
	char body[256];
	int n = snprintf(body, sizeof(body), "%d %s: %s\n", status,
			 http_status_reason((unsigned)status), why);

	evbuffer_add_printf(h->out,
			    "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
			    "Date: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
			    status, http_status_reason((unsigned)status), h->calls->date(h->arg), n,
			    is_head_request ? "" : body);
	http1_raise_ending(h, HTTP1_LINGER);
	evbuffer_drain(h->in, evbuffer_get_length(h->in));
	http1_set_state(h, HTTP1_LAST);
}

/* Refuses the request whose head is at the beginning of the input. */
static void refuse_head(struct http1 *h, int status, const char *why)
{
	char method[5] = "";

	evbuffer_copyout(h->in, method, sizeof(method));
	refuse(h, memcmp(method, "HEAD ", sizeof(method)) == 0, status, why);
}

/* Begins the exchange: the framing of the body, then the gate and the router. */
static void http1_begin(struct http1 *h, struct stream *s)
{
	h->stream = s;
	h->n_requests++;
	h->ending = s->head.keep_alive ? HTTP1_KEEP : HTTP1_CLOSE;
	h->body = s->head.body;
	h->body_left = s->head.content_length;
	h->drained = 0;
	h->response_chunked = h->response_done = false;
	h->expects_continue = s->head.expect_continue;
	memset(&h->chunked, 0, sizeof(h->chunked));
	s->is_head_request = strcmp(s->head.method, "HEAD") == 0;
	http1_set_state(h, s->head.body == HTTP_BODY_NONE ? HTTP1_RESPONSE : HTTP1_BODY);
	h->calls->request(s, h->arg);
	if (s->head.body == HTTP_BODY_NONE)
		stream_deliver_body_end(s);
}

/*
 * Takes a head from the input. Returns false if more bytes are needed, or if the connection ends.
 */
static bool http1_take_head(struct http1 *h)
{
	size_t n = evbuffer_get_length(h->in);
	const char *why = "", *p;
	struct stream *s;
	int head_bytes, r;

	if (n == 0 || evbuffer_get_length(h->out) > STREAM_HIGH_BYTES)
		return false;
	if (n > HTTP_HEAD_MAX_BYTES + 1)
		n = HTTP_HEAD_MAX_BYTES + 1;
	p = (const char *)evbuffer_pullup(h->in, (ev_ssize_t)n);
	head_bytes = http1_scan_head(&h->scan, p, n, &why);
	if (head_bytes == 0) {
		http1_set_state(h, HTTP1_HEAD);
		return false;
	}
	if (head_bytes < 0) {
		refuse_head(h, -head_bytes, why);
		return false;
	}
	s = stream_new(h->loop, h->budget, &http1_transport, h);
	r = http1_parse_head(&h->scan, p, (size_t)head_bytes, &s->arena, &s->head, &why);
	arena_mark_secret(&s->arena);
	memset(&h->scan, 0, sizeof(h->scan));
	if (r < 0) {
		stream_unref(s);
		refuse_head(h, -r, why);
		return false;
	}
	if (!budget_share_take(&s->share, s->arena.total_bytes)) {
		stream_unref(s);
		refuse_head(h, 503, "too many bytes wait in the daemon");
		return false;
	}
	if (!budget_take(h->budget, BUDGET_STREAMS, 1)) {
		stream_unref(s);
		refuse_head(h, 503, "too many requests are in progress");
		return false;
	}
	evbuffer_drain(h->in, (size_t)head_bytes);
	http1_begin(h, s);
	return true;
}

/*
 * Sends "100 Continue", for which the client waits before it sends the body (RFC 9110 section
 * 10.1.1).
 */
static void send_continue(struct http1 *h)
{
	static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";

	h->expects_continue = false;
	evbuffer_add(h->out, interim, sizeof(interim) - 1);
}

/* Delivers n bytes of the body, or drops them if no handler wants them. */
static void http1_pass(struct http1 *h, size_t n)
{
	struct evbuffer *piece;

	if (h->response_done) {
		h->drained += n;
		evbuffer_drain(h->in, n);
		return;
	}
	if (n == evbuffer_get_length(h->in)) {
		stream_deliver_body(h->stream, h->in);
		return;
	}
	piece = evbuffer_new();
	evbuffer_remove_buffer(h->in, piece, n);
	stream_deliver_body(h->stream, piece);
	evbuffer_free(piece);
}

/* Handles the end of the body. */
static void http1_body_over(struct http1 *h)
{
	http1_set_state(h, HTTP1_RESPONSE);
	stream_deliver_body_end(h->stream);
}

/*
 * Ends the connection after invalid framing: after a complete response; by a reset if the response
 * has begun; otherwise after a 400.
 */
static void http1_bad_body(struct http1 *h, int status, const char *why)
{
	bool begun = h->stream->head_sent, is_head_request = h->stream->is_head_request;

	evbuffer_drain(h->in, evbuffer_get_length(h->in));
	http1_release(h);
	if (h->response_done) {
		h->response_done = false;
		http1_raise_ending(h, HTTP1_LINGER);
		http1_set_state(h, HTTP1_LAST);
	} else if (begun) {
		http1_raise_ending(h, HTTP1_ABORT);
		http1_break(h);
	} else {
		refuse(h, is_head_request, status, why);
	}
}

/* Takes framing and data of a chunked body. False: more input is needed. */
static bool http1_take_chunked(struct http1 *h)
{
	struct evbuffer_iovec iov;
	const char *why = "";
	ssize_t taken;
	uint64_t left;

	if (evbuffer_peek(h->in, -1, NULL, &iov, 1) < 1 || iov.iov_len == 0)
		return false;
	taken = http1_chunked_framing(&h->chunked, iov.iov_base, iov.iov_len, &why);
	if (taken < 0) {
		http1_bad_body(h, (int)-taken, why);
		return false;
	}
	evbuffer_drain(h->in, (size_t)taken);
	if (http1_chunked_done(&h->chunked)) {
		http1_body_over(h);
		return true;
	}
	left = http1_chunked_left(&h->chunked);
	if (left > evbuffer_get_length(h->in))
		left = evbuffer_get_length(h->in);
	if (left) {
		http1_chunked_data(&h->chunked, left);
		http1_pass(h, (size_t)left);
	}
	return true;
}

/* Takes a piece of the body. False: more input is needed, or the stream is held. */
static bool http1_take_body(struct http1 *h)
{
	size_t n;

	if (!h->response_done && h->stream->held)
		return false;
	if (h->expects_continue && !h->response_done && !h->stream->head_sent)
		send_continue(h);
	if (h->body == HTTP_BODY_CHUNKED)
		return http1_take_chunked(h);
	n = evbuffer_get_length(h->in);
	if (n > h->body_left)
		n = (size_t)h->body_left;
	if (n == 0 && h->body_left)
		return false;
	h->body_left -= n;
	if (n)
		http1_pass(h, n);
	if (h->state == HTTP1_BODY && h->body_left == 0)
		http1_body_over(h);
	return true;
}

/*
 * The client has shut down its sending side, and all earlier bytes were processed. An incomplete
 * body will never be complete. After a complete body, the handler is notified.
 */
static void http1_check_eof(struct http1 *h)
{
	if (!h->eof || !h->stream || h->response_done || h->paused)
		return;
	if (h->state == HTTP1_BODY && !h->stream->held)
		http1_bad_body(h, 400, "the body is cut short");
	else if (h->state == HTTP1_RESPONSE)
		stream_deliver_half_closed(h->stream);
}

/* Continues after a complete response: with the next request, or with the end of the connection. */
static void http1_settle(struct http1 *h)
{
	bool body_open = h->state == HTTP1_BODY;
	bool more_comes = !h->eof || evbuffer_get_length(h->in) > 0;

	if (!h->response_done || h->state == HTTP1_BROKEN)
		return;
	if (h->file.left)
		return;
	if (body_open && h->ending == HTTP1_KEEP && more_comes &&
	    h->drained <= HTTP1_DRAIN_MAX_BYTES)
		return; /* the rest of the body is dropped as it comes */
	http1_release(h);
	h->response_done = false;
	if (body_open)
		http1_raise_ending(h, HTTP1_LINGER);
	if (h->ending != HTTP1_KEEP) {
		evbuffer_drain(h->in, evbuffer_get_length(h->in));
		http1_set_state(h, HTTP1_LAST);
	} else {
		http1_set_state(h, HTTP1_IDLE);
	}
}

/*
 * Charges the bytes that wait in `in`. If they do not fit, an incomplete head is refused, and
 * requests that were read ahead are dropped: the connection then ends after the current response.
 */
static void http1_charge(struct http1 *h)
{
	size_t n = h->state == HTTP1_BODY ? 0 : evbuffer_get_length(h->in);

	if (h->state == HTTP1_BROKEN || budget_share_set(&h->input, n))
		return;
	if (h->state == HTTP1_RESPONSE) {
		evbuffer_drain(h->in, evbuffer_get_length(h->in));
		http1_raise_ending(h, HTTP1_LINGER);
	} else {
		refuse_head(h, 503, "too many bytes wait in the daemon");
	}
	budget_share_clear(&h->input);
}

/* Takes steps from the share of this turn. False: it is used up, and the input waits. */
static bool http1_take_steps(struct http1 *h, unsigned n)
{
	if (h->steps_left < n) {
		h->paused = evbuffer_get_length(h->in) > 0;
		return false;
	}
	h->steps_left -= n;
	return true;
}

void http1_begin_turn(struct http1 *h, unsigned steps)
{
	h->steps_left = steps;
}

bool http1_is_paused(const struct http1 *h)
{
	return h->paused;
}

/* Takes a part of the input. False: nothing more can be taken now. */
static bool http1_take(struct http1 *h)
{
	switch (h->state) {
	case HTTP1_IDLE:
	case HTTP1_HEAD:
		return http1_take_steps(h, HTTP1_HEAD_STEPS) && http1_take_head(h);
	case HTTP1_BODY:
		return http1_take_steps(h, 1) && http1_take_body(h);
	default:
		return false;
	}
}

void http1_process(struct http1 *h)
{
	bool more = true;

	h->paused = false;
	while (more) {
		http1_settle(h);
		more = http1_take(h);
	}
	http1_charge(h);
	http1_check_eof(h);
	http1_settle(h);
	if (h->eof &&
	    (h->state == HTTP1_HEAD || (h->state == HTTP1_IDLE && evbuffer_get_length(h->in) == 0)))
		http1_set_state(h, HTTP1_LAST);
}

void http1_eof(struct http1 *h)
{
	h->eof = true;
	http1_process(h);
}

void http1_half_closed(struct http1 *h)
{
	if (h->state == HTTP1_RESPONSE && h->stream && !h->response_done)
		stream_deliver_half_closed(h->stream);
}

void http1_broken(struct http1 *h)
{
	http1_break(h);
	if (h->stream)
		stream_deliver_gone(h->stream);
}

void http1_abort(struct http1 *h)
{
	http1_raise_ending(h, HTTP1_ABORT);
	http1_broken(h);
}

void http1_drained(struct http1 *h)
{
	if (h->stream && h->state != HTTP1_BROKEN)
		stream_deliver_drained(h->stream);
}

void http1_shutdown(struct http1 *h)
{
	http1_raise_ending(h, HTTP1_CLOSE);
	if (h->stream)
		stream_deliver_shutdown(h->stream);
	else if (h->state != HTTP1_BROKEN)
		http1_set_state(h, HTTP1_LAST);
}

enum http1_pace http1_pace(const struct http1 *h)
{
	if (h->state != HTTP1_BODY || !http1_wants_input(h))
		return HTTP1_PACE_NONE;
	if (!h->response_done && h->stream->share.class == BUDGET_CLASS_UNAUTHENTICATED)
		return HTTP1_PACE_BOUNDED;
	return !h->response_done && h->stream->may_pause ? HTTP1_PACE_NONE : HTTP1_PACE_STEADY;
}

bool http1_wants_input(const struct http1 *h)
{
	if (h->eof)
		return false;
	switch (h->state) {
	case HTTP1_IDLE:
	case HTTP1_HEAD:
		return evbuffer_get_length(h->in) <= HTTP_HEAD_MAX_BYTES;
	case HTTP1_BODY:
		return h->response_done || !h->stream->held;
	case HTTP1_RESPONSE:
		return evbuffer_get_length(h->in) < HTTP1_READ_AHEAD_BYTES;
	default:
		return false;
	}
}

uint64_t http1_expects_bytes(const struct http1 *h)
{
	/*
	 * A secret body is read through the buffer that is wiped, not through the pool for large
	 * bodies.
	 */
	if (h->state != HTTP1_BODY || (h->stream && h->stream->secret))
		return 0;
	return h->body == HTTP_BODY_CHUNKED ? http1_chunked_left(&h->chunked) : h->body_left;
}

bool http1_finished(const struct http1 *h)
{
	if (h->state == HTTP1_BROKEN)
		return true;
	return h->state == HTTP1_LAST && evbuffer_get_length(h->out) == 0;
}

bool http1_lingers(const struct http1 *h)
{
	return h->ending == HTTP1_LINGER && !h->eof && h->state == HTTP1_LAST;
}
