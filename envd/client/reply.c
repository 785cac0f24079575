/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/client/reply.h"

#include <string.h>
#include <strings.h>

#include "base/decimal.h"
#include "rpc/http/http_chars.h"

void reply_init(struct reply *r)
{
	r->status = 0;
	r->data = NULL;
	r->data_bytes = 0;
	r->error = NULL;
	r->no_body = false;
	r->state = REPLY_STATE_HEAD;
	r->left = 0;
	r->chunked = (struct http1_chunked){0};
	r->head_bytes = r->interim_bytes = 0;
}

static enum reply_event fail(struct reply *r, const char *why)
{
	r->state = REPLY_STATE_FAILED;
	r->error = why;
	return REPLY_ERROR;
}

const char *reply_field(const struct reply *r, const char *name)
{
	size_t n = strlen(name);
	const char *line = r->head, *end = r->head + r->head_bytes;

	/* split_head has put a NUL in place of each line's CR. First comes the status line. */
	for (line += strlen(line) + 2; line < end && *line; line += strlen(line) + 2)
		if (strncasecmp(line, name, n) == 0 && line[n] == ':')
			return line + n + 1 + strspn(line + n + 1, " \t");
	return NULL;
}

/* Ends each line of the head with a NUL. Returns false if it has a byte that no head may have. */
static bool split_head(struct reply *r)
{
	for (size_t i = 0; i < r->head_bytes; i++) {
		if (http_is_value(r->head[i]))
			continue;
		if (r->head[i] != '\r' || i + 1 == r->head_bytes || r->head[i + 1] != '\n')
			return false;
		r->head[i++] = '\0';
	}
	return true;
}

/* Decides how the body ends (RFC 9112 section 6.3). False if the fields make no sense. */
static bool choose_framing(struct reply *r)
{
	const char *coding = reply_field(r, "transfer-encoding");
	const char *length = reply_field(r, "content-length");

	r->state = REPLY_STATE_CLOSE;
	if (r->no_body || r->status == 204 || r->status == 304) {
		r->state = REPLY_STATE_OVER;
	} else if (coding) {
		r->state = REPLY_STATE_CHUNKED;
		return strcasecmp(coding, "chunked") == 0;
	} else if (length) {
		r->state = REPLY_STATE_LENGTH;
		return decimal_parse_text(length, INT64_MAX, &r->left);
	}
	return true;
}

/* The status of the status line; 0 if it is malformed. */
static unsigned parse_status(const char *line)
{
	uint64_t status;

	if (strncmp(line, "HTTP/1.", 7) != 0 || !line[7] || line[8] != ' ' ||
	    decimal_digits(line + 9, strlen(line + 9), 999, &status) != 3 || status < 100 ||
	    (line[12] && line[12] != ' '))
		return 0;
	return (unsigned)status;
}

/* The head is complete. REPLY_HEAD; REPLY_MORE after an interim one; REPLY_ERROR. */
static enum reply_event parse_head(struct reply *r)
{
	if (!split_head(r))
		return fail(r, "a malformed head");
	r->status = parse_status(r->head);
	if (!r->status)
		return fail(r, "no status line of HTTP/1");
	if (r->status < 200) {
		r->interim_bytes += r->head_bytes;
		r->head_bytes = 0;
		return r->status == 101 ? fail(r, "an upgrade that was not asked for") : REPLY_MORE;
	}
	return choose_framing(r) ? REPLY_HEAD : fail(r, "an unknown framing of the body");
}

/* Collects the head byte by byte, up to the empty line. */
static enum reply_event head_next(struct reply *r, const char **p, size_t *n)
{
	enum reply_event event = REPLY_MORE;

	while (*n && event == REPLY_MORE) {
		if (r->head_bytes + r->interim_bytes == REPLY_HEAD_MAX_BYTES)
			return fail(r, "a head that is too large");
		r->head[r->head_bytes++] = *(*p)++;
		--*n;
		if (r->head_bytes >= 4 && memcmp(r->head + r->head_bytes - 4, "\r\n\r\n", 4) == 0)
			event = parse_head(r);
	}
	return event;
}

/* Returns up to max bytes of the input as data. */
static enum reply_event take(struct reply *r, const char **p, size_t *n, uint64_t max)
{
	r->data = *p;
	r->data_bytes = *n < max ? *n : (size_t)max;
	*p += r->data_bytes;
	*n -= r->data_bytes;
	return REPLY_DATA;
}

static enum reply_event chunked_next(struct reply *r, const char **p, size_t *n)
{
	enum reply_event event;
	const char *why;
	ssize_t taken = http1_chunked_framing(&r->chunked, *p, *n, &why);

	if (taken < 0)
		return fail(r, why);
	*p += taken;
	*n -= (size_t)taken;
	if (http1_chunked_done(&r->chunked)) {
		r->state = REPLY_STATE_OVER;
		return REPLY_END;
	}
	if (!*n)
		return REPLY_MORE;
	event = take(r, p, n, http1_chunked_left(&r->chunked));
	http1_chunked_data(&r->chunked, r->data_bytes);
	return event;
}

enum reply_event reply_next(struct reply *r, const char **p, size_t *n)
{
	switch (r->state) {
	case REPLY_STATE_HEAD:
		return head_next(r, p, n);
	case REPLY_STATE_LENGTH:
		if (r->left == 0) {
			r->state = REPLY_STATE_OVER;
			return REPLY_END;
		}
		if (!*n)
			return REPLY_MORE;
		take(r, p, n, r->left);
		r->left -= r->data_bytes;
		return REPLY_DATA;
	case REPLY_STATE_CHUNKED:
		return chunked_next(r, p, n);
	case REPLY_STATE_CLOSE:
		return *n ? take(r, p, n, UINT64_MAX) : REPLY_MORE;
	case REPLY_STATE_OVER:
		return REPLY_END;
	case REPLY_STATE_FAILED:
		break;
	}
	return REPLY_ERROR;
}

enum reply_event reply_eof(struct reply *r)
{
	if (r->state == REPLY_STATE_CLOSE || r->state == REPLY_STATE_OVER ||
	    (r->state == REPLY_STATE_LENGTH && r->left == 0)) {
		r->state = REPLY_STATE_OVER;
		return REPLY_END;
	}
	return r->state == REPLY_STATE_FAILED ? REPLY_ERROR
					      : fail(r, "the connection ended too early");
}
