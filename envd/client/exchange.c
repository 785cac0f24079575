/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/client/exchange.h"

#include <errno.h>
#include <event2/buffer.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "rpc/codec/base64.h"
#include "rpc/codec/json.h"

/* The field that names the user (HTTP Basic, without a password). */
static void put_user(struct evbuffer *out, const char *user)
{
	char *plain = mem_alloc(strlen(user) + 2), *text;
	int n = sprintf(plain, "%s:", user);

	text = mem_alloc(base64_encoded_bytes((size_t)n) + 1);
	n = (int)base64_encode(text, plain, (size_t)n);
	evbuffer_add_printf(out, "Authorization: Basic %.*s\r\n", n, text);
	free(plain);
	free(text);
}

int exchange_open(struct exchange *x, const struct client *c, const char *method,
		  const char *target, const char *fields, int64_t body_bytes, struct error *err)
{
	x->client = c;
	x->chunked = body_bytes == EXCHANGE_CHUNKED;
	x->eof = false;
	x->n = 0;
	x->out = evbuffer_new();
	reply_init(&x->reply);
	x->reply.no_body = strcmp(method, "HEAD") == 0;
	evbuffer_add_printf(x->out,
			    "%s %s HTTP/1.1\r\nHost: envd\r\nUser-Agent: envd-%s\r\n"
			    "Connection: close\r\n%s",
			    method, target, c->command, fields);
	if (c->token)
		evbuffer_add_printf(x->out, "X-Access-Token: %s\r\n", c->token);
	if (c->user)
		put_user(x->out, c->user);
	if (x->chunked)
		evbuffer_add_printf(x->out, "Transfer-Encoding: chunked\r\n\r\n");
	else
		evbuffer_add_printf(x->out, "Content-Length: %jd\r\n\r\n", (intmax_t)body_bytes);
	x->fd = client_dial(c, err);
	return x->fd < 0 ? -1 : 0;
}

void exchange_close(struct exchange *x)
{
	if (x->out)
		evbuffer_free(x->out);
	x->out = NULL;
	fd_close(&x->fd);
}

void exchange_put(struct exchange *x, const void *p, size_t n)
{
	if (n && x->chunked)
		evbuffer_add_printf(x->out, "%zx\r\n", n);
	evbuffer_add(x->out, p, n);
	if (n && x->chunked)
		evbuffer_add(x->out, "\r\n", 2);
}

void exchange_put_end(struct exchange *x)
{
	if (x->chunked)
		evbuffer_add(x->out, "0\r\n\r\n", 5);
}

size_t exchange_queued(const struct exchange *x)
{
	return evbuffer_get_length(x->out);
}

int exchange_flush(struct exchange *x)
{
	while (evbuffer_get_length(x->out))
		if (evbuffer_write(x->out, x->fd) < 0 && errno != EINTR)
			return errno == EAGAIN ? 0 : -errno;
	return 0;
}

int exchange_send(struct exchange *x, struct error *err)
{
	while (exchange_queued(x)) {
		int n = client_wait(x->client, x->fd, POLLIN | POLLOUT, CLIENT_SILENCE_MS);

		if (n == -ECANCELED)
			return client_interrupted(err);
		if (n == 0)
			return error_set(err, ERROR_UNAVAILABLE, "%s: takes no bytes for %u s",
					 x->client->to, CLIENT_SILENCE_MS / 1000);
		if (n > 0 && (n & POLLIN))
			return 1;
		if (n > 0 && exchange_flush(x) < 0)
			return 1;
	}
	return 0;
}

/* Reads more bytes. 1, 0 at the timeout, or -errno. */
static int read_more(struct exchange *x, int timeout_ms)
{
	ssize_t n = read(x->fd, x->in, sizeof(x->in));
	int r;

	if (n < 0 && errno == EAGAIN && timeout_ms) {
		r = client_wait(x->client, x->fd, POLLIN, timeout_ms);
		if (r <= 0)
			return r;
		n = read(x->fd, x->in, sizeof(x->in));
	}
	if (n < 0 && errno == EAGAIN)
		return 0;
	x->eof = n <= 0;
	if (n < 0)
		return -errno;
	x->p = x->in;
	x->n = (size_t)n;
	return 1;
}

enum reply_event exchange_next(struct exchange *x, int timeout_ms, struct error *err)
{
	uint64_t until = timeout_ms > 0 ? clock_monotonic_ms() + (uint64_t)timeout_ms : 0, now;
	enum reply_event event;
	int r;

	while ((event = reply_next(&x->reply, &x->p, &x->n)) == REPLY_MORE) {
		/* One deadline for the event: a byte from time to time does not move it. */
		if (until) {
			now = clock_monotonic_ms();
			timeout_ms = now < until ? (int)(until - now) : 0;
		}
		r = x->eof ? 1 : read_more(x, timeout_ms);
		if (r == 0)
			return REPLY_MORE;
		if (r == -ECANCELED) {
			client_interrupted(err);
			return REPLY_ERROR;
		}
		if (r < 0) {
			error_set(err, ERROR_UNAVAILABLE, "%s: %s", x->client->to,
				  error_errno_text(r));
			return REPLY_ERROR;
		}
		if (x->eof) {
			event = reply_eof(&x->reply);
			break;
		}
	}
	if (event == REPLY_ERROR)
		error_set(err, ERROR_UNAVAILABLE, "%s: %s", x->client->to, x->reply.error);
	return event;
}

/* As exchange_next, up to the deadline of the answer, which is REPLY_ERROR. */
static enum reply_event next_until(struct exchange *x, struct error *err)
{
	uint64_t now = clock_monotonic_ms();
	enum reply_event event = REPLY_MORE;

	if (now < x->until_ms)
		event = exchange_next(x, (int)(x->until_ms - now), err);
	if (event != REPLY_MORE)
		return event;
	error_set(err, ERROR_UNAVAILABLE, "%s: no complete answer within %g s", x->client->to,
		  (double)x->client->timeout_ms / 1000);
	return REPLY_ERROR;
}

int exchange_head(struct exchange *x, struct error *err)
{
	if (exchange_send(x, err) < 0)
		return -1;
	x->until_ms = clock_monotonic_ms() + x->client->timeout_ms;
	return next_until(x, err) == REPLY_HEAD ? 0 : -1;
}

bool exchange_ended(const struct exchange *x)
{
	return x->eof && x->reply.head_bytes + x->reply.interim_bytes == 0;
}

int exchange_body(struct exchange *x, size_t max_bytes, char **ret, size_t *ret_bytes,
		  struct error *err)
{
	struct evbuffer *body = evbuffer_new();
	enum reply_event event;

	while ((event = next_until(x, err)) == REPLY_DATA) {
		evbuffer_add(body, x->reply.data, x->reply.data_bytes);
		if (evbuffer_get_length(body) <= max_bytes)
			continue;
		evbuffer_free(body);
		return error_set(err, ERROR_RESOURCE_EXHAUSTED,
				 "%s: an answer of more than %zu bytes", x->client->to, max_bytes);
	}
	if (event == REPLY_END) {
		*ret_bytes = evbuffer_get_length(body);
		*ret = mem_alloc(*ret_bytes + 1);
		evbuffer_remove(body, *ret, *ret_bytes);
		(*ret)[*ret_bytes] = '\0';
	}
	evbuffer_free(body);
	return event == REPLY_END ? 0 : -1;
}

/* ---- refusals ---- */

/* The code of a name ("not_found"), ERROR_UNKNOWN if there is none. */
static enum error_code code_of(const struct json_text *name)
{
	for (int code = ERROR_CANCELED; code <= ERROR_UNAUTHENTICATED; code++) {
		const char *text = error_code_name((enum error_code)code);

		if (strlen(text) == name->n && memcmp(text, name->p, name->n) == 0)
			return (enum error_code)code;
	}
	return ERROR_UNKNOWN;
}

static enum error_code code_of_status(unsigned status)
{
	switch (status) {
	case 400:
		return ERROR_INVALID_ARGUMENT;
	case 401:
		return ERROR_UNAUTHENTICATED;
	case 403:
		return ERROR_PERMISSION_DENIED;
	case 404:
		return ERROR_NOT_FOUND;
	case 501:
		return ERROR_UNIMPLEMENTED;
	}
	return ERROR_UNKNOWN;
}

void exchange_error_parse(const char *p, size_t n, unsigned status, struct error *err)
{
	struct arena arena = {.limit_bytes = 2 * EXCHANGE_ERROR_BYTES};
	enum error_code code = code_of_status(status);
	char *message = NULL;
	struct json_lexer in;
	struct error broken;

	json_lexer_init(&in, p, n);
	if (json_open_object(&in))
		while (json_next_field(&in)) {
			if (json_name_is(&in, "code") && in.token == JSON_STRING)
				code = code_of(&in.text);
			else if (json_name_is(&in, "message") && in.token == JSON_STRING)
				json_get_string(&in, &arena, &message, NULL);
			else
				json_skip(&in);
		}
	if (json_finish(&in, &broken) == 0 && message)
		error_set(err, code, "%s", message);
	else if (status)
		error_set(err, code, "HTTP status %u: %.*s", status, (int)strcspn(p, "\r\n"), p);
	else
		error_set(err, code, "%s", error_code_name(code));
	arena_clear(&arena);
}

int exchange_refused(struct exchange *x, struct error *err)
{
	size_t n;
	char *body;

	if (exchange_body(x, EXCHANGE_ERROR_BYTES, &body, &n, err) < 0)
		return -1;
	exchange_error_parse(body, n, x->reply.status, err);
	free(body);
	return -1;
}

int exchange_success(struct exchange *x, struct error *err)
{
	if (exchange_head(x, err) < 0)
		return -1;
	return x->reply.status / 100 == 2 ? 0 : exchange_refused(x, err);
}
