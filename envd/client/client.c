/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/client/client.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/decimal.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "envd/client/show.h"

#define HOST_BYTES 64

/* Parses "ADDR", "ADDR:PORT" or "[ADDR]:PORT". 0 or -EINVAL. */
static int parse_tcp(const char *text, struct address *ret)
{
	char host[HOST_BYTES];
	uint64_t port = CLIENT_PORT;
	const char *end;
	size_t n;

	if (*text == '[') {
		end = strchr(++text, ']');
		n = end ? (size_t)(end - text) : HOST_BYTES;
		end = end ? end + 1 : text;
	} else {
		n = strcspn(text, ":");
		end = text + n;
	}
	if (n >= HOST_BYTES || (*end && *end != ':') ||
	    (*end && (!decimal_parse_text(end + 1, 65535, &port) || port == 0)))
		return -EINVAL;
	memcpy(host, text, n);
	host[n] = '\0';
	/* RFC 6761 section 6.3. Other names need a resolver, which a static program lacks. */
	return address_parse_ip(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host,
				(in_port_t)port, ret);
}

/* Parses "CID" or "CID:PORT". 0 or -EINVAL. */
static int parse_vsock(const char *text, struct address *ret)
{
	char cid[HOST_BYTES];
	uint64_t port = CLIENT_PORT;
	size_t n = strcspn(text, ":");

	if (n >= sizeof(cid) || (text[n] && !decimal_parse_text(text + n + 1, UINT32_MAX, &port)))
		return -EINVAL;
	memcpy(cid, text, n);
	cid[n] = '\0';
	return address_parse_vsock(cid, (uint32_t)port, ret);
}

int client_parse_to(const char *text, struct dial_target *ret)
{
	*ret = (struct dial_target){0};
	if (strncmp(text, "tcp:", 4) == 0)
		return parse_tcp(text + 4, &ret->address);
	if (strncmp(text, "vsock:", 6) == 0)
		return parse_vsock(text + 6, &ret->address);
	if (strncmp(text, "unix:", 5) == 0)
		return address_parse_unix(text + 5, &ret->address);
	if (strncmp(text, "uds:", 4) != 0)
		return -EINVAL;
	ret->proxy_port = CLIENT_PORT;
	return address_parse_unix(text + 4, &ret->address);
}

/* Replaces the token. Line ends behind it do not belong to it. */
static int set_token(struct client *c, char *token)
{
	size_t n = strlen(token);

	while (n && (token[n - 1] == '\n' || token[n - 1] == '\r'))
		token[--n] = '\0';
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)token[i] < ' ' || token[i] == 0x7f) {
			free(token);
			return -EINVAL;
		}
	client_clear(c);
	c->token = token;
	return 0;
}

int client_option(struct client *c, int key, const char *value)
{
	char *token;
	int r;

	switch (key) {
	case CLIENT_KEY_TO:
		c->to = value;
		return client_parse_to(value, &c->target);
	case CLIENT_KEY_TOKEN:
		r = fd_read_file(AT_FDCWD, value, CLIENT_TOKEN_BYTES, &token, NULL);
		return r < 0 ? r : set_token(c, token);
	case CLIENT_KEY_USER:
		c->user = value;
		return *value && !strchr(value, ':') ? 0 : -EINVAL;
	}
	return 1;
}

int client_init(struct client *c, const char *command)
{
	const char *to = getenv("ENVD_TO"), *token = getenv("ENVD_TOKEN");

	*c = (struct client){.command = command,
			     .to = to && *to ? to : CLIENT_TO,
			     .timeout_ms = CLIENT_TIMEOUT_MS,
			     .key_fd = -1};
	/* As stdout, a socket would send the guest's output to the guest. Writes fail instead. */
	fd_fill_standard(O_RDONLY | O_CLOEXEC);
	/* A peer that closes the connection is an error like others. */
	signal(SIGPIPE, SIG_IGN);
	if (client_parse_to(c->to, &c->target) < 0) {
		fprintf(stderr, "envd %s: $ENVD_TO is not an address: %s\n", command, c->to);
		return -1;
	}
	if (token && *token && set_token(c, mem_strdup(token)) < 0) {
		fprintf(stderr, "envd %s: $ENVD_TOKEN contains a control character\n", command);
		return -1;
	}
	return 0;
}

void client_clear(struct client *c)
{
	if (c->token)
		explicit_bzero(c->token, strlen(c->token));
	free(c->token);
	c->token = NULL;
}

/* ---- connecting ---- */

int client_wait(const struct client *c, int fd, short events, int timeout_ms)
{
	uint64_t until = clock_monotonic_ms() + (timeout_ms > 0 ? (uint64_t)timeout_ms : 0), now;
	struct pollfd p[3];

	for (;;) {
		p[0] = (struct pollfd){.fd = fd, .events = events};
		p[1] = (struct pollfd){.fd = c->interruptible ? c->interrupt_fd : -1,
				       .events = POLLIN};
		p[2] = (struct pollfd){.fd = c->key_fd, .events = POLLIN};
		if (poll(p, ARRAY_LEN(p), timeout_ms) < 0 && errno != EINTR)
			return -errno;
		if (p[1].revents || (p[2].revents && c->on_key(c->key_arg)))
			return -ECANCELED;
		now = clock_monotonic_ms();
		if (p[0].revents || timeout_ms == 0 || (timeout_ms > 0 && now >= until))
			return p[0].revents;
		if (timeout_ms > 0)
			timeout_ms = (int)(until - now);
	}
}

bool client_pause(const struct client *c, int ms)
{
	return client_wait(c, -1, 0, ms) != -ECANCELED;
}

int client_interrupted(struct error *err)
{
	return error_set(err, ERROR_CANCELED, "interrupted");
}

/* Waits for an event until the deadline. 0 or -errno. */
static int wait_event(const struct client *c, int fd, short events, uint64_t deadline_ms)
{
	uint64_t now;
	int r = 0;

	while (r == 0) {
		now = clock_monotonic_ms();
		if (now >= deadline_ms)
			return -ETIMEDOUT;
		r = client_wait(c, fd, events, (int)(deadline_ms - now));
	}
	return r < 0 ? r : 0;
}

/* 0 or -errno. */
static int connect_until(const struct client *c, int fd, uint64_t deadline_ms)
{
	const struct address *to = &c->target.address;
	socklen_t size = sizeof(int);
	int r, failure = 0;

	/* A unix socket whose queue is full says EAGAIN, and no event tells when it has room. */
	while (connect(fd, (const struct sockaddr *)&to->storage, to->bytes) < 0) {
		if (errno == EINPROGRESS) {
			r = wait_event(c, fd, POLLOUT, deadline_ms);
			if (r == 0)
				getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size);
			return r < 0 ? r : -failure;
		}
		if (errno != EAGAIN)
			return -errno;
		if (clock_monotonic_ms() >= deadline_ms)
			return -ETIMEDOUT;
		if (!client_pause(c, DIAL_RETRY_MS))
			return -ECANCELED;
	}
	return 0;
}

/* Asks a guest's proxy for the port. Its line is read byte by byte: the guest's bytes follow it. */
static int ask_proxy(const struct client *c, int fd, uint64_t deadline_ms)
{
	char line[DIAL_REPLY_BYTES];
	int n = snprintf(line, sizeof(line), "CONNECT %u\n", c->target.proxy_port), r;
	size_t have = 0;
	ssize_t got;

	if (send(fd, line, (size_t)n, MSG_NOSIGNAL) != n)
		return -EPIPE;
	while ((r = dial_reply_parse(line, have)) == 0) {
		if (have == sizeof(line))
			return -EPROTO;
		r = wait_event(c, fd, POLLIN, deadline_ms);
		if (r < 0)
			return r;
		got = read(fd, line + have, 1);
		/* The proxy closes the connection if the guest does not listen. */
		if (got <= 0)
			return got < 0 ? -errno : -ECONNREFUSED;
		have++;
	}
	return r < 0 ? r : 0;
}

int client_dial(const struct client *c, struct error *err)
{
	uint64_t limit_ms = c->timeout_ms < CLIENT_CONNECT_MS ? c->timeout_ms : CLIENT_CONNECT_MS;
	uint64_t deadline_ms = clock_monotonic_ms() + limit_ms;
	FD_AUTO int fd = socket(c->target.address.storage.ss_family,
				SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r = fd < 0 ? -errno : connect_until(c, fd, deadline_ms), on = 1;

	if (r == 0 && c->target.proxy_port)
		r = ask_proxy(c, fd, deadline_ms);
	if (r == -ECANCELED)
		return client_interrupted(err);
	if (r < 0)
		return error_set(err, ERROR_UNAVAILABLE,
				 "%s: %s: does envd listen there? (--to, $ENVD_TO)", c->to,
				 error_errno_text(r));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	return fd_take(&fd);
}

int client_complain(const struct client *c, const struct error *err)
{
	fprintf(stderr, "envd %s: ", c->command);
	show_text(stderr, err->message[0] ? err->message : error_code_name(err->code));
	if (err->code == ERROR_UNAUTHENTICATED && !c->token)
		fputs(" (--token-file, $ENVD_TOKEN)", stderr);
	fputc('\n', stderr);
	return -1;
}
