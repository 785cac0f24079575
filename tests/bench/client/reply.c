/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* The size of one receive: if the bytes are discarded, and if they are copied. */
#define DISCARD_BYTES (4 * 1024 * 1024)
#define BUFFER_BYTES  (256 * 1024)

void reply_reset(struct reply *r)
{
	r->head[0] = '\0';
	r->kept = r->total = r->expected = 0;
	r->have_head = r->chunked = r->done = false;
}

/* Finds out from a complete head how the response will end. */
static void read_head(struct reply *r)
{
	char *end = strstr(r->head, "\r\n\r\n"), *field;
	size_t head_bytes;

	if (!end)
		return;
	r->have_head = true;
	head_bytes = (size_t)(end - r->head) + 4;
	*end = '\0';
	field = strcasestr(r->head, "\r\ncontent-length:");
	if (field)
		r->expected = head_bytes + strtoull(field + 17, NULL, 10);
	else if (strcasestr(r->head, "\r\ntransfer-encoding: chunked"))
		r->chunked = true;
	else if (strncmp(r->head + 8, " 204", 4) == 0)
		r->expected = head_bytes;
	*end = '\r';
}

/* Returns true if the kept bytes end like a chunked body without trailers. */
static bool ends_chunked(const struct reply *r)
{
	static const char last[] = "\r\n0\r\n\r\n";
	size_t n = sizeof(last) - 1;

	return r->total == r->kept && r->kept >= n && memcmp(r->head + r->kept - n, last, n) == 0;
}

int reply_read(struct reply *r, int fd)
{
	static char buffer[BUFFER_BYTES];
	size_t room = REPLY_BYTES - r->kept;
	ssize_t n;

	/* MSG_TRUNC on a TCP socket discards the bytes without copying them (tcp(7)). */
	if (room)
		n = recv(fd, r->head + r->kept, room, 0);
	else if (r->reads)
		n = recv(fd, buffer, sizeof(buffer), 0);
	else
		n = recv(fd, NULL, DISCARD_BYTES, MSG_TRUNC);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0)
		die(errno, "recv");
	if (n == 0) {
		if (!r->have_head || (r->expected && r->total < r->expected))
			die(0, "the connection ended after %zu bytes: %s", r->total, r->head);
		r->done = true;
		return 1;
	}
	if (room) {
		r->kept += (size_t)n;
		r->head[r->kept] = '\0';
	}
	r->total += (size_t)n;
	if (!r->have_head)
		read_head(r);
	if (r->have_head)
		r->done = r->expected ? r->total >= r->expected : r->chunked && ends_chunked(r);
	return r->done;
}

void reply_check(const struct reply *r, const char *text)
{
	if (strncmp(r->head, "HTTP/1.1 2", 10) != 0)
		die(0, "refused: %.600s", r->head);
	if (text && !memmem(r->head, r->kept, text, strlen(text)))
		die(0, "\"%s\" is not in the answer: %.600s", text, r->head);
}
