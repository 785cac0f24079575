/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/http/stream.h"

#include <event2/buffer.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "rpc/codec/json.h"
#include "rpc/http/body_loan.h"
#include "rpc/http/read_pool.h"
#include "rpc/http/stream_impl.h"
#include "rpc/http/trace.h"

static const struct stream_handler no_handler;

struct stream *stream_new(struct loop *loop, struct budget *budget,
			  const struct stream_transport *transport, void *transport_data)
{
	static uint64_t last_id;
	struct stream *s = mem_zalloc(sizeof(*s));

	s->refs = 1;
	s->log_request.operation = ++last_id;
	s->loop = loop;
	budget_share_init(&s->share, budget, BUDGET_CLASS_UNAUTHENTICATED);
	s->transport = transport;
	s->transport_data = transport_data;
	s->handler = &no_handler;
	s->fields_tail = &s->fields;
	s->length_left = STREAM_LENGTH_UNKNOWN;
	return s;
}

struct stream *stream_ref(struct stream *s)
{
	s->refs++;
	return s;
}

void stream_unref(struct stream *s)
{
	if (!s || --s->refs)
		return;
	arena_clear(&s->arena);
	budget_share_clear(&s->share);
	free(s);
}

/* Logs the request. The query is left out because it may contain a signature. */
static void stream_log(struct stream *s)
{
	struct log_field fields[5];
	const char *error;
	const char *method;
	size_t n = 0;
	bool failed;

	if (s->quiet || !s->head.method || !s->head.path)
		return;
	if (!log_has_sink())
		return;
	failed = s->status == 0 || s->status >= 400 || s->outcome;
	error = s->outcome ? s->outcome : s->status ? NULL : "the client has gone";
	method = arena_printf(&s->arena, "%s %s", s->head.method, s->head.path);
	fields[n++] = LOG_TEXT("method", method);
	fields[n++] = LOG_TEXT("path", s->log.path);
	fields[n++] = LOG_TEXT("username", s->log.username);
	fields[n++] = LOG_TEXT("error", failed ? error : NULL);
	if (s->status >= 400)
		fields[n++] = LOG_NUMBER("error_code", s->status);
	log_event(&(struct log_line){.level = failed && s->log.failure ? s->log.failure
								       : LOG_LEVEL_INFO,
				     .request = s->log_request,
				     .sink_only = true,
				     .fields = fields,
				     .n_fields = n},
		  "%s", s->log.message ? s->log.message : method);
}

/* Ends the stream (rule 4): nothing is delivered from now on. */
static void stream_end(struct stream *s)
{
	stream_log(s);
	s->ended = true;
}

void stream_detach(struct stream *s)
{
	stream_deliver_gone(s);
	s->transport_data = NULL;
	stream_unref(s);
}

/* ---- the request ---- */

const struct http_head *stream_head_in(const struct stream *s)
{
	return &s->head;
}

const char *stream_header_in(const struct stream *s, const char *name)
{
	return http_head_get(&s->head, name);
}

struct arena *stream_arena(struct stream *s)
{
	return &s->arena;
}

struct loop *stream_loop(const struct stream *s)
{
	return s->loop;
}

struct budget_share *stream_share(struct stream *s)
{
	return &s->share;
}

/* If the class has no room for the head, the request stays charged where it was. */
void stream_set_admitted(struct stream *s)
{
	budget_share_move(&s->share, BUDGET_CLASS_REQUESTS);
}

void stream_set_restricted(struct stream *s)
{
	s->restricted = true;
}

bool stream_is_restricted(const struct stream *s)
{
	return s->restricted;
}

uint64_t stream_id(const struct stream *s)
{
	return s->log_request.operation;
}

struct log_request stream_log_request(const struct stream *s)
{
	return s->log_request;
}

void stream_read_trace(struct stream *s)
{
	trace_read(&s->head, &s->arena, &s->log_request);
}

void stream_set_user(struct stream *s, const char *name)
{
	s->user = arena_strdup(&s->arena, name);
}

const char *stream_user(const struct stream *s)
{
	return s->user;
}

void stream_set_handler(struct stream *s, const struct stream_handler *handler, void *data)
{
	s->handler = handler;
	s->data = data;
	if (handler->half_closed && !s->ended)
		s->transport->update(s); /* it may have happened before */
}

void *stream_data(const struct stream *s)
{
	return s->data;
}

void stream_set_outcome(struct stream *s, const char *outcome)
{
	s->outcome = outcome;
}

void stream_set_log_members(struct stream *s, const struct stream_log_members *members)
{
	s->log = *members;
}

void stream_set_quiet(struct stream *s)
{
	s->quiet = true;
}

void stream_set_secret(struct stream *s)
{
	s->secret = true;
}

void stream_allow_pauses(struct stream *s)
{
	s->may_pause = true;
}

void stream_hold(struct stream *s)
{
	if (s->ended || s->held)
		return;
	s->held = true;
	s->transport->update(s);
}

void stream_unhold(struct stream *s)
{
	if (s->ended || !s->held)
		return;
	s->held = false;
	s->transport->update(s);
}

bool stream_lend(struct stream *s, struct body_loan *ret)
{
	return !s->ended && s->transport->lend && s->transport->lend(s, ret);
}

void stream_return(struct stream *s, struct body_loan *loan)
{
	fd_close(&loan->fd);
	read_pool_unref(loan->pool);
	loan->pool = NULL;
	if (s->transport_data)
		s->transport->take_back(s, loan->taken);
}

bool stream_live(const struct stream *s)
{
	return !s->ended;
}

/* ---- the response ---- */

void stream_header(struct stream *s, const char *name, const char *value)
{
	struct stream_field *field;

	if (s->ended)
		return;
	field = arena_alloc(&s->arena, sizeof(*field));
	field->name = arena_strdup(&s->arena, name);
	field->value = arena_strdup(&s->arena, value);
	field->next = NULL;
	*s->fields_tail = field;
	s->fields_tail = &field->next;
}

void stream_headerf(struct stream *s, const char *name, const char *format, ...)
{
	va_list ap;
	char *value;

	va_start(ap, format);
	value = arena_vprintf(&s->arena, format, ap);
	va_end(ap);
	stream_header(s, name, value);
}

void stream_header_set(struct stream *s, const char *name, const char *value)
{
	struct stream_field **at = &s->fields;

	while (*at) {
		if (strcasecmp((*at)->name, name) == 0)
			*at = (*at)->next;
		else
			at = &(*at)->next;
	}
	s->fields_tail = at;
	stream_header(s, name, value);
}

void stream_head(struct stream *s, unsigned status, int64_t length_bytes)
{
	if (s->ended)
		return;
	/* Fatal: the handler breaks the contract of stream.h. */
	if (s->head_sent)
		fatal("stream %llu: a second head", (unsigned long long)s->log_request.operation);
	s->head_sent = true;
	s->status = status;
	s->length_left = length_bytes;
	s->transport->send_head(s, status, length_bytes);
	s->fields = NULL;
	s->fields_tail = &s->fields;
}

bool stream_head_sent(const struct stream *s)
{
	return s->head_sent;
}

/* Returns how many of n bytes are sent: none for HEAD, and none beyond the announced length. */
static size_t stream_admit(struct stream *s, size_t n)
{
	if (s->ended)
		return 0;
	/* Fatal: the handler breaks the contract of stream.h. */
	if (!s->head_sent || s->sending_file)
		fatal("stream %llu: body bytes out of turn",
		      (unsigned long long)s->log_request.operation);
	if (s->length_left >= 0) {
		if ((uint64_t)s->length_left < n)
			n = (size_t)s->length_left;
		s->length_left -= (int64_t)n;
	}
	return s->is_head_request ? 0 : n;
}

/* Returns the flow state for the producer. */
static enum stream_flow stream_flow_now(struct stream *s)
{
	if (s->ended)
		return STREAM_OK;
	if (!s->full && s->transport->pending_bytes(s) > STREAM_HIGH_BYTES)
		s->full = true;
	return s->full ? STREAM_FULL : STREAM_OK;
}

enum stream_flow stream_send(struct stream *s, struct evbuffer *data)
{
	size_t n = stream_admit(s, evbuffer_get_length(data));

	if (n) {
		evbuffer_remove_buffer(data, s->transport->send_begin(s, n), n);
		s->transport->send_end(s);
	}
	evbuffer_drain(data, evbuffer_get_length(data));
	return stream_flow_now(s);
}

enum stream_flow stream_send_bytes(struct stream *s, const void *p, size_t n)
{
	n = stream_admit(s, n);
	if (n) {
		evbuffer_add(s->transport->send_begin(s, n), p, n);
		s->transport->send_end(s);
	}
	return stream_flow_now(s);
}

enum stream_flow stream_send_ref(struct stream *s, const void *p, size_t n,
				 void (*release)(const void *p, size_t n, void *arg), void *arg)
{
	size_t admitted = stream_admit(s, n);

	if (admitted == n && n > 0) {
		evbuffer_add_reference(s->transport->send_begin(s, n), p, n, release, arg);
		s->transport->send_end(s);
		return stream_flow_now(s);
	}
	/*
	 * If only a part is admitted, copy it: the evbuffer would release that part, not the whole
	 * piece.
	 */
	if (admitted) {
		evbuffer_add(s->transport->send_begin(s, admitted), p, admitted);
		s->transport->send_end(s);
	}
	release(p, n, arg);
	return stream_flow_now(s);
}

void stream_send_file(struct stream *s, struct workers *workers, int fd, off_t offset,
		      uint64_t length)
{
	if (s->ended)
		return;
	/* Fatal: the handler breaks the contract of stream.h. */
	if (!s->head_sent || s->sending_file || s->length_left < 0 ||
	    length > (uint64_t)s->length_left)
		fatal("stream %llu: a file out of turn",
		      (unsigned long long)s->log_request.operation);
	s->length_left -= (int64_t)length;
	s->sending_file = true;
	s->transport->send_file(s, workers, fd, offset, s->is_head_request ? 0 : length);
}

void stream_finish(struct stream *s)
{
	if (s->ended)
		return;
	/* The client must not wait for bytes that were announced but will not come. */
	if (!s->head_sent || (s->length_left > 0 && !s->is_head_request)) {
		stream_reset(s);
		return;
	}
	stream_end(s);
	s->transport->finish(s);
}

void stream_reset(struct stream *s)
{
	if (s->ended)
		return;
	stream_end(s);
	s->transport->reset(s);
}

void stream_reply(struct stream *s, unsigned status, const char *content_type, const void *body,
		  size_t n)
{
	if (content_type)
		stream_header_set(s, "Content-Type", content_type);
	stream_head(s, status, (int64_t)n);
	if (n)
		stream_send_bytes(s, body, n);
	stream_finish(s);
}

void stream_reply_error(struct stream *s, unsigned status, const char *message)
{
	struct json_writer out;

	if (log_has_sink())
		s->outcome = arena_strdup(&s->arena, message);
	stream_header_set(s, "X-Content-Type-Options", "nosniff");
	json_writer_init(&out, 0, 128);
	json_put_object(&out);
	json_put_name(&out, "code");
	json_put_uint(&out, status);
	json_put_name(&out, "message");
	json_put_string(&out, message);
	json_put_object_end(&out);
	json_append(&out, "\n", 1);
	stream_reply(s, status, "application/json; charset=utf-8", out.data, out.n);
	json_writer_clear(&out);
}

size_t stream_pending_bytes(const struct stream *s)
{
	return s->ended ? 0 : s->transport->pending_bytes(s);
}

/* ---- events from the transport ---- */

void stream_deliver_body(struct stream *s, struct evbuffer *data)
{
	if (!s->ended && s->handler->body)
		s->handler->body(s, data);
	evbuffer_drain(data, evbuffer_get_length(data));
}

void stream_deliver_body_end(struct stream *s)
{
	if (s->ended || s->body_ended)
		return;
	s->body_ended = true;
	if (s->handler->body_end)
		s->handler->body_end(s);
}

void stream_deliver_half_closed(struct stream *s)
{
	if (s->ended || s->half_close_told || !s->handler->half_closed)
		return;
	s->half_close_told = true;
	s->handler->half_closed(s);
}

void stream_deliver_gone(struct stream *s)
{
	if (s->ended)
		return;
	stream_end(s);
	if (s->handler->gone)
		s->handler->gone(s);
}

void stream_deliver_shutdown(struct stream *s)
{
	if (s->ended)
		return;
	if (s->handler->shutdown) {
		s->handler->shutdown(s);
		return;
	}
	s->transport->reset(s);
	stream_deliver_gone(s);
}

void stream_deliver_drained(struct stream *s)
{
	if (s->ended)
		return;
	if (s->sending_file) {
		if (s->transport->pending_bytes(s))
			return;
		s->sending_file = false;
	} else if (s->full) {
		if (s->transport->pending_bytes(s) >= STREAM_LOW_BYTES)
			return;
	} else {
		return;
	}
	s->full = false;
	if (s->handler->writable)
		s->handler->writable(s);
}
