/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/commands/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/decimal.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "envd/client/exchange.h"
#include "envd/commands/transfer_impl.h"

#define FIELDS_BYTES	256
#define PROGRESS_MS	200
#define VALIDATOR_BYTES 128

void progress_clear(struct progress *p)
{
	if (p->printed_ms)
		fputs("\r\033[K", stderr);
	p->printed_ms = 0;
}

void progress_add(struct progress *p, size_t n)
{
	uint64_t now;

	p->done += n;
	if (!p->shown)
		return;
	now = clock_monotonic_ms();
	if (now - p->printed_ms < PROGRESS_MS)
		return;
	p->printed_ms = now;
	fprintf(stderr, "\r%" PRIu64 " KiB", p->done >> 10);
	if (p->total)
		fprintf(stderr, " of %" PRIu64 ", %u%%", p->total >> 10,
			(unsigned)(p->done * 100 / p->total));
	fputs("\033[K", stderr);
}

/* Adds the text, percent-encoded (RFC 3986 section 2.1). */
static char *add_encoded(char *out, const char *text)
{
	for (; *text; text++) {
		if ((*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
		    (*text >= '0' && *text <= '9') || strchr("/-._~", *text))
			*out++ = *text;
		else
			out += sprintf(out, "%%%02X", (unsigned char)*text);
	}
	*out = '\0';
	return out;
}

char *transfer_target(const struct client *c, const char *path, const char *more)
{
	size_t user = c->user ? strlen(c->user) : 0;
	char *target = mem_alloc(3 * (strlen(path) + user) + strlen(more) + 32), *out;

	out = add_encoded(stpcpy(target, "/files?path="), path);
	if (c->user)
		out = add_encoded(stpcpy(out, "&username="), c->user);
	strcpy(out, more);
	return target;
}

/* ---- one file, from the guest ---- */

struct download {
	const struct client *client;
	const char *target;
	int *fd;
	const char *local;		 /* the file that is opened if *fd is -1 */
	uint64_t done;			 /* bytes that *fd has */
	char validator[VALIDATOR_BYTES]; /* of the first response: ETag or Last-Modified */
	struct progress *progress;
};

/* Keeps what the next request names in If-Range (RFC 9110 section 13.1.5): not a weak ETag. */
static void keep_validator(struct download *d, const struct reply *r)
{
	const char *text = reply_field(r, "ETag");

	if (!text || strncmp(text, "W/", 2) == 0)
		text = reply_field(r, "Last-Modified");
	if (text && strlen(text) < sizeof(d->validator))
		strcpy(d->validator, text);
}

/* Checks that the response is the rest of the file. 0 or -1. */
static int check_head(struct download *d, struct exchange *x, struct error *err)
{
	const char *length = reply_field(&x->reply, "Content-Length");
	uint64_t bytes;

	if (x->reply.status != (d->done ? 206 : 200)) {
		if (d->done && x->reply.status == 200)
			return error_set(err, ERROR_ABORTED, "the file has changed meanwhile");
		return exchange_refused(x, err);
	}
	if (d->done)
		return 0;
	keep_validator(d, &x->reply);
	if (length && decimal_parse_text(length, INT64_MAX, &bytes))
		d->progress->total = bytes;
	if (*d->fd < 0)
		*d->fd = open(d->local, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	return *d->fd < 0 ? error_set_errno(err, ERROR_ABORTED, errno, "%s", d->local) : 0;
}

/* Requests what is missing, once. 0; -1: ERROR_UNAVAILABLE means that another attempt can help. */
static int get_once(struct download *d, struct exchange *x, struct error *err)
{
	enum reply_event event;
	char fields[FIELDS_BYTES] = "";
	int r;

	if (d->done)
		snprintf(fields, sizeof(fields), "Range: bytes=%" PRIu64 "-\r\nIf-Range: %s\r\n",
			 d->done, d->validator);
	if (exchange_open(x, d->client, "GET", d->target, fields, 0, err) < 0 ||
	    exchange_head(x, err) < 0 || check_head(d, x, err) < 0)
		return -1;
	while ((event = exchange_next(x, CLIENT_SILENCE_MS, err)) == REPLY_DATA) {
		r = fd_write_all(*d->fd, x->reply.data, x->reply.data_bytes);
		if (r < 0)
			return error_set_errno(err, ERROR_ABORTED, r, "write");
		d->done += x->reply.data_bytes;
		progress_add(d->progress, x->reply.data_bytes);
	}
	if (event == REPLY_MORE)
		return error_set(err, ERROR_UNAVAILABLE, "%s: nothing comes", d->client->to);
	return event == REPLY_END ? 0 : -1;
}

int transfer_get(const struct client *c, const char *path, int *fd, const char *local,
		 struct progress *p, struct error *err)
{
	char *target = transfer_target(c, path, "");
	struct download d = {.client = c, .target = target, .local = local, .progress = p};
	struct exchange *x = mem_zalloc(sizeof(*x));
	uint64_t before, until = 0;
	int r;

	d.fd = fd;
	for (;;) {
		before = d.done;
		r = get_once(&d, x, err);
		exchange_close(x);
		if (d.done > before || until == 0)
			until = clock_monotonic_ms() + TRANSFER_RESUME_MS;
		if (r == 0 || err->code != ERROR_UNAVAILABLE || d.done == 0 || !d.validator[0] ||
		    clock_monotonic_ms() > until)
			break;
		poll(NULL, 0, TRANSFER_RETRY_MS);
	}
	free(x);
	free(target);
	return r;
}

/* ---- one file, to the guest ---- */

/* Reads a piece of the file and queues it. 1; 0 at its end; -1 with the error. */
static int put_piece(struct exchange *x, int fd, char *piece, uint64_t max, struct error *err)
{
	ssize_t n;

	do
		n = read(fd, piece, max < TRANSFER_PIECE_BYTES ? max : TRANSFER_PIECE_BYTES);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_set_errno(err, ERROR_ABORTED, errno, "read");
	exchange_put(x, piece, (size_t)n);
	return n > 0;
}

int transfer_put_body(struct exchange *x, int fd, uint64_t left, struct progress *p,
		      struct error *err)
{
	char *piece = mem_alloc(TRANSFER_PIECE_BYTES);
	bool bounded = left != UINT64_MAX;
	int r = 1, sent = 0;
	size_t n;

	while (r > 0 && sent == 0 && left) {
		n = exchange_queued(x);
		r = put_piece(x, fd, piece, left, err);
		n = exchange_queued(x) - n;
		left -= bounded ? n : 0;
		if (r > 0) {
			sent = exchange_send(x, err);
			progress_add(p, n);
		}
	}
	free(piece);
	if (r == 0 && bounded)
		return error_set(err, ERROR_ABORTED, "the file became shorter meanwhile");
	if (r < 0 || sent < 0)
		return -1;
	if (sent == 0)
		exchange_put_end(x);
	return 0;
}

static int put_once(const struct client *c, const char *target, int fd, uint64_t from, int64_t size,
		    bool resumable, struct exchange *x, struct progress *p, struct error *err)
{
	char fields[FIELDS_BYTES];
	int n = snprintf(fields, sizeof(fields), "Content-Type: application/octet-stream\r\n");
	int64_t body = size < 0 ? EXCHANGE_CHUNKED : size - (int64_t)from;

	if (resumable)
		snprintf(fields + n, sizeof(fields) - (size_t)n,
			 "Content-Range: bytes %" PRIu64 "-%" PRId64 "/%" PRId64 "\r\n", from,
			 size - 1, size);
	p->done = from;
	if (exchange_open(x, c, "POST", target, fields, body, err) < 0 ||
	    transfer_put_body(x, fd, size < 0 ? UINT64_MAX : (uint64_t)body, p, err) < 0)
		return -1;
	return exchange_success(x, err);
}

/*
 * Asks how much of the file the guest has: -ENOENT if it has none; another error if that is not
 * known. E2B's envd has no HEAD, and would take the rest of a file for the whole.
 */
static int64_t ask_length(const struct client *c, const char *target, struct exchange *x)
{
	const char *length;
	struct error err;
	uint64_t bytes;
	int64_t r = -EIO;

	if (exchange_open(x, c, "HEAD", target, "", 0, &err) == 0 && exchange_head(x, &err) == 0) {
		length = reply_field(&x->reply, "Content-Length");
		if (x->reply.status == 404)
			r = -ENOENT;
		else if (x->reply.status == 200 && length &&
			 decimal_parse_text(length, INT64_MAX, &bytes))
			r = (int64_t)bytes;
	}
	exchange_close(x);
	return r;
}

/*
 * Waits until the guest says how much of the file it has. The number of bytes, 0 also if the upload
 * was cut before the daemon made the file; -1 if the guest does not answer in time.
 */
static int64_t await_length(const struct client *c, const char *target, struct exchange *x,
			    uint64_t until)
{
	int64_t from;

	while ((from = ask_length(c, target, x)) < 0 && from != -ENOENT) {
		if (clock_monotonic_ms() > until)
			return -1;
		poll(NULL, 0, TRANSFER_RETRY_MS);
	}
	return from < 0 ? 0 : from;
}

int transfer_put(const struct client *c, const char *path, int fd, int64_t size, struct progress *p,
		 struct error *err)
{
	char *target = transfer_target(c, path, "");
	struct exchange *x = mem_zalloc(sizeof(*x));
	uint64_t until = clock_monotonic_ms() + TRANSFER_RESUME_MS;
	int64_t from = 0, reached = 0;
	bool resumable;
	int r;

	p->total = size > 0 ? (uint64_t)size : 0;
	/*
	 * The daemon keeps the first part of an upload that names its range. If the file exists, it
	 * would be kept in part too, so then the upload is made in one piece.
	 */
	resumable = size >= TRANSFER_RESUME_BYTES && ask_length(c, target, x) == -ENOENT;
	for (;;) {
		r = put_once(c, target, fd, (uint64_t)from, size, resumable, x, p, err);
		exchange_close(x);
		if (r == 0 || !resumable || err->code != ERROR_UNAVAILABLE)
			break;
		from = await_length(c, target, x, until);
		if (from == size) {
			/* All bytes arrived. The answer was lost. */
			r = 0;
			break;
		}
		if (from < 0 || from > size || lseek(fd, from, SEEK_SET) < 0 ||
		    (from <= reached && clock_monotonic_ms() > until))
			break;
		if (from > reached)
			until = clock_monotonic_ms() + TRANSFER_RESUME_MS;
		else
			poll(NULL, 0, TRANSFER_RETRY_MS);
		reached = from;
	}
	free(x);
	free(target);
	return r;
}
