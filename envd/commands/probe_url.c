/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/decimal.h"
#include "base/fd.h"
#include "base/loop.h"
#include "envd/commands/probe.h"
#include "envd/relay/address.h"

/* Copies n bytes and adds a NUL. The caller has checked that the whole URL fits PROBE_URL_BYTES. */
static void copy_text(char *out, const char *p, size_t n)
{
	memcpy(out, p, n);
	out[n] = '\0';
}

/* Splits host, host:port, [address] or [address]:port. 0 or -EINVAL. */
static int parse_authority(const char *p, size_t n, struct probe_url *url)
{
	const char *name = p, *colon;
	size_t length = n;
	uint64_t port;

	copy_text(url->host, p, n);
	url->port = 80;
	if (n && p[0] == '[') {
		const char *close = memchr(p, ']', n);

		if (!close)
			return -EINVAL;
		name = p + 1;
		length = (size_t)(close - name);
		colon = close + 1 < p + n ? close + 1 : NULL;
		if (colon && *colon != ':')
			return -EINVAL;
	} else {
		colon = memchr(p, ':', n);
		if (colon)
			length = (size_t)(colon - p);
	}
	if (length == 0)
		return -EINVAL;
	copy_text(url->name, name, length);
	if (!colon)
		return 0;
	if (!decimal_parse(colon + 1, (size_t)(p + n - colon - 1), 65535, &port) || port == 0)
		return -EINVAL;
	url->port = (in_port_t)port;
	return 0;
}

int probe_url_parse(const char *text, struct probe_url *ret)
{
	size_t n = strlen(text), authority;
	const char *rest;

	if (n >= PROBE_URL_BYTES)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)text[i] <= 0x20 || text[i] == 0x7f)
			return -EINVAL;
	if (strncasecmp(text, "http://", 7) != 0)
		return -EPROTONOSUPPORT;
	text += 7;
	authority = strcspn(text, "/?#");
	rest = text + authority;
	if (memchr(text, '@', authority))
		return -EINVAL;
	n = strcspn(rest, "#");
	snprintf(ret->target, sizeof(ret->target), "%s%.*s", *rest == '/' ? "" : "/", (int)n, rest);
	return parse_authority(text, authority, ret);
}

/* The milliseconds until the deadline; 0 after it. */
static int left_ms(uint64_t deadline_ms)
{
	uint64_t now = clock_monotonic_ms();

	return now < deadline_ms ? (int)(deadline_ms - now) : 0;
}

/* Waits for the event. 0, -ETIMEDOUT or -errno. */
static int wait_event(int fd, short events, uint64_t deadline_ms)
{
	struct pollfd p = {.fd = fd, .events = events};
	int n;

	do
		n = poll(&p, 1, left_ms(deadline_ms));
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n == 0 ? -ETIMEDOUT : 0;
}

/* Connects within the deadline. 0 or -errno. */
static int connect_until(int fd, const struct address *addr, uint64_t deadline_ms)
{
	socklen_t size = sizeof(int);
	int rc, failure;

	if (connect(fd, (const struct sockaddr *)&addr->storage, addr->bytes) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	rc = wait_event(fd, POLLOUT, deadline_ms);
	if (rc < 0)
		return rc;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size) < 0)
		return -errno;
	return -failure;
}

/* Sends the request. 0 or -errno. */
static int send_request(int fd, const struct probe_url *url, uint64_t deadline_ms)
{
	char request[2 * PROBE_URL_BYTES + 128];
	const char *p = request;
	size_t n = (size_t)snprintf(request, sizeof(request),
				    "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: envd-ready\r\n"
				    "Accept: */*\r\nConnection: close\r\n\r\n",
				    url->target, url->host);

	while (n) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		if (sent > 0) {
			p += sent;
			n -= (size_t)sent;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (wait_event(fd, POLLOUT, deadline_ms) < 0)
			return -ETIMEDOUT;
	}
	return 0;
}

/* The status in the head at p; 0 if the status line is incomplete or malformed. */
static unsigned head_status(const char *p)
{
	uint64_t status;

	if (strncmp(p, "HTTP/1.", 7) != 0 || strcspn(p, " ") != 8 || strlen(p) < 13 ||
	    !decimal_parse(p + 9, 3, 999, &status) || status < 100)
		return 0;
	return (unsigned)status;
}

/* The status of the answer; interim ones (1xx) are skipped. 0 if none came. */
static unsigned read_status(int fd, uint64_t deadline_ms)
{
	char answer[PROBE_ANSWER_BYTES + 1];
	size_t have = 0;

	while (have < PROBE_ANSWER_BYTES && wait_event(fd, POLLIN, deadline_ms) == 0) {
		const char *head = answer;
		ssize_t got = read(fd, answer + have, PROBE_ANSWER_BYTES - have);
		unsigned status;

		if (got <= 0)
			return 0;
		have += (size_t)got;
		answer[have] = '\0';
		while ((status = head_status(head))) {
			if (status >= 200)
				return status;
			head = strstr(head, "\r\n\r\n");
			if (!head)
				break;
			head += 4;
		}
	}
	return 0;
}

/* One request to one address. The status, or 0 if there was no answer. */
static unsigned ask(const struct address *addr, const struct probe_url *url, uint64_t deadline_ms)
{
	FD_AUTO int fd =
		socket(addr->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || connect_until(fd, addr, deadline_ms) < 0 ||
	    send_request(fd, url, deadline_ms) < 0)
		return 0;
	return read_status(fd, deadline_ms);
}

/* Asks the address of a line of /etc/hosts if the line has the name; 0 if it has not. */
static unsigned ask_hosts_line(char *line, const struct probe_url *url, uint64_t deadline_ms)
{
	struct address addr;
	char *save = NULL, *address, *name;

	line[strcspn(line, "#\n")] = '\0';
	address = strtok_r(line, " \t", &save);
	if (!address || address_parse_ip(address, url->port, &addr) < 0)
		return 0;
	while ((name = strtok_r(NULL, " \t", &save)))
		if (strcasecmp(name, url->name) == 0)
			return ask(&addr, url, deadline_ms);
	return 0;
}

/* Asks every address that /etc/hosts has for the name. */
static unsigned ask_hosts(const struct probe_url *url, unsigned wanted, uint64_t deadline_ms)
{
	unsigned status, last = 0;
	char line[1024];
	FILE *hosts = fopen("/etc/hosts", "re");

	while (hosts && last != wanted && fgets(line, sizeof(line), hosts)) {
		status = ask_hosts_line(line, url, deadline_ms);
		last = status ? status : last;
	}
	if (hosts)
		fclose(hosts);
	return last;
}

unsigned probe_url(const struct probe_url *url, unsigned wanted, unsigned timeout_ms)
{
	uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
	struct address addr;
	unsigned v4, v6;

	if (address_parse_ip(url->name, url->port, &addr) == 0)
		return ask(&addr, url, deadline_ms);
	if (strcasecmp(url->name, "localhost") != 0)
		return ask_hosts(url, wanted, deadline_ms);
	/* "localhost" is loopback, independent of /etc/hosts (RFC 6761 section 6.3). */
	address_parse_ip("127.0.0.1", url->port, &addr);
	v4 = ask(&addr, url, deadline_ms);
	if (v4 == wanted)
		return v4;
	address_parse_ip("::1", url->port, &addr);
	v6 = ask(&addr, url, deadline_ms);
	return v6 ? v6 : v4;
}
