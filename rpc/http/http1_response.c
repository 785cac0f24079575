/* SPDX-License-Identifier: Apache-2.0 */
/* The responses of the HTTP/1.1 engine: what stream.c calls, and the bytes that it writes. */
#include <event2/buffer.h>
#include <stdio.h>
#include <string.h>

#include "rpc/http/body_loan.h"
#include "rpc/http/http1_impl.h"
#include "rpc/http/http_status.h"
#include "rpc/http/stream_impl.h"

static void http1_send_head(struct stream *s, unsigned status, int64_t length_bytes);
static struct evbuffer *http1_send_begin(struct stream *s, size_t n);
static void http1_send_end(struct stream *s);
static void http1_send_file(struct stream *s, struct workers *workers, int fd, off_t offset,
			    uint64_t length);
static void http1_finish(struct stream *s);
static void http1_reset(struct stream *s);
static void http1_update(struct stream *s);
static bool http1_lend(struct stream *s, struct body_loan *ret);
static void http1_take_back(struct stream *s, uint64_t taken);
static size_t http1_pending_bytes(const struct stream *s);

const struct stream_transport http1_transport = {
	.send_head = http1_send_head,
	.send_begin = http1_send_begin,
	.send_end = http1_send_end,
	.send_file = http1_send_file,
	.finish = http1_finish,
	.reset = http1_reset,
	.update = http1_update,
	.lend = http1_lend,
	.take_back = http1_take_back,
	.pending_bytes = http1_pending_bytes,
};

/* Appends text to the head. */
static char *put(char *at, const char *text, size_t n)
{
	memcpy(at, text, n);
	return at + n;
}

static char *put_field(char *at, const char *name, const char *value)
{
	at = put(at, name, strlen(name));
	at = put(at, ": ", 2);
	for (; *value; value++)
		*at++ = (unsigned char)*value < 0x20 && *value != '\t' ? ' ' : *value;
	return put(at, "\r\n", 2);
}

static size_t fields_bytes(const struct stream_field *field)
{
	size_t n = 0;

	for (; field; field = field->next)
		n += strlen(field->name) + strlen(field->value) + 4;
	return n;
}

/* RFC 9110 section 8.6 and RFC 9112 section 6.1: responses without body and length. */
static bool status_has_no_body(unsigned status)
{
	return status < 200 || status == 204 || status == 304;
}

/* Decides the framing of the response, and whether the connection is kept. */
static const char *choose_framing(struct http1 *h, struct stream *s, unsigned status,
				  int64_t length_bytes, char *text, size_t text_bytes)
{
	if (status_has_no_body(status))
		return "";
	if (length_bytes >= 0) {
		snprintf(text, text_bytes, "Content-Length: %lld\r\n", (long long)length_bytes);
		return text;
	}
	if (s->head.minor_version == 0) {
		/*
		 * Only the close marks the end of this body, so a close before http1_finish must be
		 * a reset.
		 */
		http1_raise_ending(h, HTTP1_ABORT);
		return "";
	}
	h->response_chunked = !s->is_head_request;
	return "Transfer-Encoding: chunked\r\n";
}

/* RFC 9112 section 9.3. */
static const char *connection_field(const struct http1 *h, const struct stream *s)
{
	if (h->ending != HTTP1_KEEP)
		return "Connection: close\r\n";
	return s->head.minor_version == 0 ? "Connection: keep-alive\r\n" : "";
}

static void http1_send_head(struct stream *s, unsigned status, int64_t length_bytes)
{
	struct http1 *h = s->transport_data;
	const char *reason = http_status_reason(status), *date = h->calls->date(h->arg);
	const char *framing, *connection;
	char framing_text[48], status_text[16];
	struct evbuffer_iovec iov;
	const struct stream_field *field;
	char *at;
	size_t n;

	/* A client that did not get "100 Continue" may or may not send its body. */
	if (h->expects_continue)
		http1_raise_ending(h, HTTP1_CLOSE);
	framing = choose_framing(h, s, status, length_bytes, framing_text, sizeof(framing_text));
	connection = connection_field(h, s);
	snprintf(status_text, sizeof(status_text), "HTTP/1.1 %u ", status);
	n = strlen(status_text) + strlen(reason) + strlen(date) + strlen(framing) +
	    strlen(connection) + fields_bytes(s->fields) + 16;
	evbuffer_reserve_space(h->out, (ev_ssize_t)n, &iov, 1);
	at = put(iov.iov_base, status_text, strlen(status_text));
	at = put(at, reason, strlen(reason));
	at = put(at, "\r\n", 2);
	for (field = s->fields; field; field = field->next)
		at = put_field(at, field->name, field->value);
	at = put(at, "Date: ", 6);
	at = put(at, date, strlen(date));
	at = put(at, "\r\n", 2);
	at = put(at, framing, strlen(framing));
	at = put(at, connection, strlen(connection));
	at = put(at, "\r\n", 2);
	iov.iov_len = (size_t)(at - (char *)iov.iov_base);
	evbuffer_commit_space(h->out, &iov, 1);
	http1_wake(h);
}

static struct evbuffer *http1_send_begin(struct stream *s, size_t n)
{
	struct http1 *h = s->transport_data;
	char size[24];

	if (h->response_chunked) {
		int length = snprintf(size, sizeof(size), "%zx\r\n", n);

		evbuffer_add(h->out, size, (size_t)length);
	}
	return h->out;
}

static void http1_send_end(struct stream *s)
{
	struct http1 *h = s->transport_data;

	if (h->response_chunked)
		evbuffer_add(h->out, "\r\n", 2);
	http1_wake(h);
}

static void http1_send_file(struct stream *s, struct workers *workers, int fd, off_t offset,
			    uint64_t length)
{
	struct http1 *h = s->transport_data;

	h->file.fd = fd;
	h->file.workers = workers;
	h->file.offset = offset;
	h->file.warm_until = offset;
	h->file.left = length;
	http1_wake(h);
}

/* RFC 9112 section 7.1.2: the last chunk and the trailers. */
static void send_last_chunk(struct http1 *h, const struct stream_field *field)
{
	struct evbuffer_iovec iov;
	char *at;

	evbuffer_reserve_space(h->out, (ev_ssize_t)(fields_bytes(field) + 5), &iov, 1);
	at = put(iov.iov_base, "0\r\n", 3);
	for (; field; field = field->next)
		at = put_field(at, field->name, field->value);
	at = put(at, "\r\n", 2);
	iov.iov_len = (size_t)(at - (char *)iov.iov_base);
	evbuffer_commit_space(h->out, &iov, 1);
}

static void http1_finish(struct stream *s)
{
	struct http1 *h = s->transport_data;

	if (h->response_chunked)
		send_last_chunk(h, s->fields);
	if (h->ending == HTTP1_ABORT)
		h->ending = HTTP1_CLOSE;
	h->response_done = true;
	http1_wake(h);
}

static void http1_reset(struct stream *s)
{
	struct http1 *h = s->transport_data;

	http1_raise_ending(h, HTTP1_ABORT);
	http1_break(h);
	http1_wake(h);
}

static void http1_update(struct stream *s)
{
	http1_wake(s->transport_data);
}

/* A body is lent if a large part of it comes next on the socket, and none of it is in `in`. */
static bool http1_lend(struct stream *s, struct body_loan *ret)
{
	struct http1 *h = s->transport_data;
	uint64_t left = http1_expects_bytes(h);

	if (!h->calls->lend || h->eof || h->response_done || h->expects_continue ||
	    left < BODY_LOAN_MIN_BYTES || evbuffer_get_length(h->in))
		return false;
	*ret = (struct body_loan){.fd = -1, .left = left};
	if (!h->calls->lend(ret, h->arg))
		return false;
	http1_set_state(h, HTTP1_LENT);
	http1_wake(h);
	return true;
}

static void http1_take_back(struct stream *s, uint64_t taken)
{
	struct http1 *h = s->transport_data;

	if (h->state != HTTP1_LENT)
		return; /* the connection broke meanwhile */
	if (h->body == HTTP_BODY_CHUNKED)
		http1_chunked_data(&h->chunked, taken);
	else
		h->body_left -= taken;
	http1_set_state(h, HTTP1_BODY);
	http1_wake(h);
}

static size_t http1_pending_bytes(const struct stream *s)
{
	const struct http1 *h = s->transport_data;

	return evbuffer_get_length(h->out) + (size_t)h->file.left;
}
