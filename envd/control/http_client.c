/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/http_client.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <event2/buffer.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/decimal.h"
#include "base/fd.h"
#include "base/mem.h"
#include "rpc/http/http1_chunked.h"

struct http_exchange {
	struct loop *loop;
	int fd;
	struct fd_event event;
	struct timer timer;
	struct defer failed; /* reports a failure of connect(2) from the loop */
	int failure;
	struct evbuffer *out;
	char in[HTTP_CLIENT_MAX_BYTES + 1];
	size_t in_bytes;
	http_client_done_fn *done;
	void *arg;
};

int http_url_parse(const char *text, struct http_url *ret)
{
	struct in6_addr address;
	const char *host, *end, *port;
	uint64_t number = 80;
	size_t n;

	memset(ret, 0, sizeof(*ret));
	if (strncmp(text, "http://", 7) != 0)
		return -EINVAL;
	host = text + 7;
	end = host + strcspn(host, "/");
	if (*host == '[') {
		host++;
		n = strcspn(host, "]");
		if (host[n] != ']')
			return -EINVAL;
		port = host + n + 1;
	} else {
		n = strcspn(host, ":/");
		port = host + n;
	}
	if (n >= sizeof(ret->host) || port > end || strlen(end) >= sizeof(ret->path))
		return -EINVAL;
	memcpy(ret->host, host, n);
	if (*port == ':') {
		if (!decimal_parse(port + 1, (size_t)(end - port - 1), 65535, &number) ||
		    number == 0)
			return -EINVAL;
	} else if (port != end) {
		return -EINVAL;
	}
	ret->port = (uint16_t)number;
	snprintf(ret->path, sizeof(ret->path), "%s", *end ? end : "/");
	if (inet_pton(AF_INET, ret->host, &address) == 1 ||
	    inet_pton(AF_INET6, ret->host, &address) == 1)
		return 0;
	return -EINVAL;
}

/* ---- the answer ---- */

/* Returns the value of a field in the head, which ends at `end`; NULL if it is absent. */
static const char *field_value(const char *head, const char *end, const char *name)
{
	size_t n = strlen(name);
	const char *line = head;

	while ((line = memchr(line, '\n', (size_t)(end - line))) != NULL) {
		line++;
		if ((size_t)(end - line) > n && strncasecmp(line, name, n) == 0 && line[n] == ':')
			return line + n + 1 + strspn(line + n + 1, " \t");
	}
	return NULL;
}

/*
 * Parses a chunked body and, if told so, joins the chunks in place. Returns 1 if the body is
 * complete, 0 if more bytes are needed, or -EPROTO.
 */
static int parse_chunked(char *body, size_t n, bool join, size_t *ret_bytes)
{
	struct http1_chunked chunked = {0};
	size_t at = 0, joined = 0, size;
	const char *why;
	ssize_t taken;

	while (at < n && !http1_chunked_done(&chunked)) {
		taken = http1_chunked_framing(&chunked, body + at, n - at, &why);
		if (taken < 0)
			return -EPROTO;
		at += (size_t)taken;
		size = n - at;
		if (size > http1_chunked_left(&chunked))
			size = (size_t)http1_chunked_left(&chunked);
		if (join)
			memmove(body + joined, body + at, size);
		http1_chunked_data(&chunked, size);
		joined += size;
		at += size;
	}
	*ret_bytes = joined;
	return http1_chunked_done(&chunked);
}

int http_client_parse(char *p, size_t n, int at_end, int *ret_status, char **ret_body,
		      size_t *ret_body_bytes)
{
	char *end, *body;
	const char *value;
	uint64_t length, status;
	size_t have, digits;
	int r;

	p[n] = '\0';
	end = memmem(p, n, "\r\n\r\n", 4);
	if (!end)
		return at_end ? -EPROTO : 0;
	if (strncmp(p, "HTTP/1.", 7) != 0 || !isdigit((unsigned char)p[7]) || p[8] != ' ' ||
	    decimal_digits(p + 9, 4, 999, &status) != 3 || status < 100)
		return -EPROTO;
	*ret_status = (int)status;
	body = end + 4;
	have = n - (size_t)(body - p);
	*ret_body = body;
	*ret_body_bytes = 0;
	if (*ret_status == 204 || *ret_status == 304)
		return 1; /* RFC 9112, section 6.3: no body */
	value = field_value(p, end, "transfer-encoding");
	if (value && strncasecmp(value, "chunked", 7) == 0) {
		/* Joining modifies the bytes, so it needs the complete body. */
		r = parse_chunked(body, have, false, ret_body_bytes);
		if (r > 0)
			r = parse_chunked(body, have, true, ret_body_bytes);
		return r == 0 && at_end ? -EPROTO : r;
	}
	value = field_value(p, end, "content-length");
	if (!value) {
		*ret_body_bytes = have;
		return at_end;
	}
	digits = strspn(value, "0123456789");
	value += digits;
	if (!decimal_parse(value - digits, digits, INT64_MAX, &length) ||
	    value[strspn(value, " \t")] != '\r')
		return -EPROTO;
	if (have < length)
		return at_end ? -EPROTO : 0;
	*ret_body_bytes = length;
	return 1;
}

/* ---- the exchange ---- */

static void exchange_free(struct http_exchange *x)
{
	if (x->fd >= 0)
		fd_event_del(&x->event);
	timer_cancel(&x->timer);
	defer_cancel(&x->failed);
	evbuffer_free(x->out);
	fd_close(&x->fd);
	explicit_bzero(x->in, x->in_bytes); /* it may contain a token */
	free(x);
}

void http_client_cancel(struct http_exchange *x)
{
	if (x)
		exchange_free(x);
}

static void exchange_end(struct http_exchange *x, int status, char *body, size_t n)
{
	if (body)
		body[n] = '\0';
	x->done(x->arg, status, body ? body : "", n);
	exchange_free(x);
}

static void on_timeout(void *arg)
{
	exchange_end(arg, -ETIMEDOUT, NULL, 0);
}

static void on_failed(void *arg)
{
	struct http_exchange *x = arg;

	exchange_end(x, x->failure, NULL, 0);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct http_exchange *x = arg;
	ssize_t n = read(fd, x->in + x->in_bytes, HTTP_CLIENT_MAX_BYTES - x->in_bytes);
	size_t body_bytes = 0;
	char *body = NULL;
	int status = 0, r;

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			exchange_end(x, -errno, NULL, 0);
		return;
	}
	x->in_bytes += (size_t)n;
	r = http_client_parse(x->in, x->in_bytes, n == 0, &status, &body, &body_bytes);
	if (r == 0 && x->in_bytes == HTTP_CLIENT_MAX_BYTES)
		r = -EMSGSIZE;
	if (r > 0)
		exchange_end(x, status, body, body_bytes);
	else if (r < 0)
		exchange_end(x, r, NULL, 0);
}

/* Called when the socket is connected, and when it has room again. */
static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct http_exchange *x = arg;
	int failure = 0;
	socklen_t n = sizeof(failure);

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &n);
	if (failure) {
		exchange_end(x, -failure, NULL, 0);
		return;
	}
	if (evbuffer_write(x->out, fd) < 0 && errno != EAGAIN && errno != EINTR) {
		exchange_end(x, -errno, NULL, 0);
		return;
	}
	if (evbuffer_get_length(x->out))
		return;
	fd_event_del(&x->event);
	fd_event_init(&x->event, x->loop, fd, EV_READ | EV_PERSIST, on_readable, x);
	fd_event_add(&x->event);
}

/* Opens the socket and begins to connect. 0 or -errno. */
static int exchange_connect(struct http_exchange *x, const struct http_url *url)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(url->port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(url->port)};
	const struct sockaddr *address = (const struct sockaddr *)&in;
	socklen_t n = sizeof(in);

	if (inet_pton(AF_INET, url->host, &in.sin_addr) != 1) {
		inet_pton(AF_INET6, url->host, &in6.sin6_addr);
		address = (const struct sockaddr *)&in6;
		n = sizeof(in6);
	}
	x->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (x->fd < 0)
		return -errno;
	fd_event_init(&x->event, x->loop, x->fd, EV_WRITE | EV_PERSIST, on_writable, x);
	if (connect(x->fd, address, n) < 0 && errno != EINPROGRESS)
		return -errno;
	fd_event_add(&x->event);
	return 0;
}

struct http_exchange *http_client_start(struct loop *loop, const struct http_url *url,
					const char *method, const char *fields, const void *body,
					size_t body_bytes, unsigned timeout_ms,
					http_client_done_fn *done, void *arg)
{
	struct http_exchange *x = mem_zalloc(sizeof(*x));
	bool v6 = strchr(url->host, ':') != NULL;

	x->loop = loop;
	x->fd = -1;
	x->done = done;
	x->arg = arg;
	x->out = evbuffer_new();
	evbuffer_add_printf(x->out,
			    "%s %s HTTP/1.1\r\nHost: %s%s%s:%u\r\nConnection: close\r\n"
			    "Content-Length: %zu\r\n%s\r\n",
			    method, url->path, v6 ? "[" : "", url->host, v6 ? "]" : "", url->port,
			    body_bytes, fields);
	evbuffer_add(x->out, body, body_bytes);
	timer_init(&x->timer, loop, on_timeout, x);
	timer_set_ms(&x->timer, timeout_ms);
	defer_init(&x->failed, loop, on_failed, x);
	x->failure = exchange_connect(x, url);
	if (x->failure < 0)
		defer_schedule(&x->failed);
	return x;
}
