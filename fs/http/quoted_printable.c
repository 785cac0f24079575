/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/http/quoted_printable.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Decodes a line without its end. Returns the length or -EBADMSG. */
static ssize_t decode_text(const char *p, size_t n, char *out)
{
	size_t i, written = 0;
	int high, low;
	unsigned char c;

	for (i = 0; i < n; i++) {
		c = (unsigned char)p[i];
		if (c == '=') {
			high = i + 2 < n ? hex_digit(p[i + 1]) : -1;
			low = high >= 0 ? hex_digit(p[i + 2]) : -1;
			if (low >= 0) {
				c = (unsigned char)((unsigned)high << 4 | (unsigned)low);
				i += 2;
			}
		} else if ((c < ' ' && c != '\t' && c != '\r') || c == 0x7f) {
			return -EBADMSG;
		}
		out[written++] = (char)c;
	}
	return (ssize_t)written;
}

/* Decodes a line with its end, or the last line, which has no end. */
static ssize_t decode_line(const char *line, size_t n, char *out)
{
	size_t text = n;
	const char *end;
	ssize_t written;
	bool crlf;

	/* Blanks at the end of a line were added in transport (RFC 2045 section 6.7, rule 3). */
	while (text && is_blank(line[text - 1]))
		text--;
	if (text && line[text - 1] == '=') {
		/* A soft line break: '=' and the line end are dropped. */
		end = line + text + strspn(line + text, " \t");
		if (end < line + n && *end != '\n' && !(end[0] == '\r' && end[1] == '\n'))
			return -EBADMSG;
		if (end == line + n && text == 1)
			return -EBADMSG;
		return decode_text(line, text - 1, out);
	}
	written = decode_text(line, text, out);
	if (written < 0 || !n || line[n - 1] != '\n')
		return written;
	crlf = n > 1 && line[n - 2] == '\r';
	memcpy(out + written, crlf ? "\r\n" : "\n", crlf ? 2 : 1);
	return written + (crlf ? 2 : 1);
}

ssize_t qp_next(struct qp *qp, const char **p, size_t *n, char out[QP_LINE_MAX_BYTES])
{
	const char *newline = memchr(*p, '\n', *n);
	size_t bytes = newline ? (size_t)(newline + 1 - *p) : *n;
	ssize_t written;

	/* A NUL follows the line, so that reading one byte after its end is defined. */
	if (qp->n + bytes >= sizeof(qp->line))
		return -EBADMSG;
	memcpy(qp->line + qp->n, *p, bytes);
	qp->n += bytes;
	qp->line[qp->n] = '\0';
	*p += bytes;
	*n -= bytes;
	if (!newline)
		return -EAGAIN;
	written = decode_line(qp->line, qp->n, out);
	qp->n = 0;
	return written;
}

ssize_t qp_finish(struct qp *qp, char out[QP_LINE_MAX_BYTES])
{
	ssize_t written;

	qp->line[qp->n] = '\0';
	written = decode_line(qp->line, qp->n, out);
	qp->n = 0;
	return written;
}
