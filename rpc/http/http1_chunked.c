/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/http/http1_chunked.h"

#include "base/mem.h"
#include "rpc/http/http_chars.h"

/* The position of the next byte in the framing. */
enum chunked_state {
	CHUNKED_SIZE,	       /* in the hex digits, or before the first */
	CHUNKED_EXTENSION,     /* behind a ';' */
	CHUNKED_SIZE_LF,       /* behind the CR of the size line */
	CHUNKED_DATA,	       /* `size` bytes */
	CHUNKED_DATA_CR,       /* behind the data */
	CHUNKED_DATA_LF,       /* behind its CR */
	CHUNKED_TRAILER_START, /* at the beginning of a line behind the last chunk */
	CHUNKED_TRAILER_NAME,
	CHUNKED_TRAILER_VALUE,
	CHUNKED_TRAILER_LF, /* behind the CR of a trailer */
	CHUNKED_END_LF,	    /* behind the CR of the last line */
	CHUNKED_DONE,
};

static int refuse(const char **why, int status, const char *text)
{
	*why = text;
	return -status;
}

/* Parses a byte of the size line, which may be a hex digit. */
static int size_byte(struct http1_chunked *c, char b, const char **why)
{
	int digit = http_hex_value(b);

	if (digit >= 0) {
		if (++c->n_digits > 16 || c->size > (uint64_t)INT64_MAX >> 4)
			return refuse(why, 400, "chunk size too large");
		c->size = c->size << 4 | (unsigned)digit;
		return 0;
	}
	if (c->n_digits == 0)
		return refuse(why, 400, "bad chunk size");
	if (b == '\r')
		c->state = CHUNKED_SIZE_LF;
	else if (b == ';')
		c->state = CHUNKED_EXTENSION;
	else
		return refuse(why, 400, "bad chunk size");
	return 0;
}

/* Parses a byte of an extension. Extensions are ignored. */
static int extension_byte(struct http1_chunked *c, char b, const char **why)
{
	if (++c->extensions_bytes > HTTP1_EXTENSIONS_MAX_BYTES)
		return refuse(why, 400, "chunk extensions too large");
	if (b == '\r')
		c->state = CHUNKED_SIZE_LF;
	else if (!http_is_value(b))
		return refuse(why, 400, "control character in a chunk extension");
	return 0;
}

/* Parses a byte after the last chunk. */
static int trailer_byte(struct http1_chunked *c, char b, const char **why)
{
	if (++c->trailers_bytes > HTTP1_TRAILERS_MAX_BYTES)
		return refuse(why, 431, "trailers too large");
	if (c->state == CHUNKED_TRAILER_VALUE) {
		if (b == '\r')
			c->state = CHUNKED_TRAILER_LF;
		else if (!http_is_value(b))
			return refuse(why, 400, "control character in a trailer");
		return 0;
	}
	if (http_is_token(b))
		c->state = CHUNKED_TRAILER_NAME;
	else if (c->state == CHUNKED_TRAILER_NAME && b == ':')
		c->state = CHUNKED_TRAILER_VALUE;
	else if (c->state == CHUNKED_TRAILER_START && b == '\r')
		c->state = CHUNKED_END_LF;
	else
		return refuse(why, 400, "bad trailer");
	return 0;
}

/* Checks that the byte b is `must`, as the framing requires. */
static int fixed_byte(struct http1_chunked *c, char b, char must, enum chunked_state next,
		      const char **why)
{
	if (b != must)
		return refuse(why, 400, "bad line end in a chunked body");
	c->state = (unsigned char)next;
	return 0;
}

/* Parses one byte of framing. 0, or -status. */
static int framing_byte(struct http1_chunked *c, char b, const char **why)
{
	switch ((enum chunked_state)c->state) {
	case CHUNKED_SIZE:
		return size_byte(c, b, why);
	case CHUNKED_EXTENSION:
		return extension_byte(c, b, why);
	case CHUNKED_SIZE_LF:
		c->n_digits = 0;
		return fixed_byte(c, b, '\n', c->size ? CHUNKED_DATA : CHUNKED_TRAILER_START, why);
	case CHUNKED_DATA_CR:
		return fixed_byte(c, b, '\r', CHUNKED_DATA_LF, why);
	case CHUNKED_DATA_LF:
		return fixed_byte(c, b, '\n', CHUNKED_SIZE, why);
	case CHUNKED_TRAILER_START:
	case CHUNKED_TRAILER_NAME:
	case CHUNKED_TRAILER_VALUE:
		return trailer_byte(c, b, why);
	case CHUNKED_TRAILER_LF:
		return fixed_byte(c, b, '\n', CHUNKED_TRAILER_START, why);
	case CHUNKED_END_LF:
		return fixed_byte(c, b, '\n', CHUNKED_DONE, why);
	case CHUNKED_DATA:
	case CHUNKED_DONE:
		break;
	}
	/* Fatal: the caller of this file alone passes framing only, in the other states. */
	fatal("chunked: no framing in state %d", c->state);
}

ssize_t http1_chunked_framing(struct http1_chunked *c, const char *p, size_t n, const char **why)
{
	size_t i;

	for (i = 0; i < n && c->state != CHUNKED_DATA && c->state != CHUNKED_DONE; i++) {
		int r = framing_byte(c, p[i], why);

		if (r < 0)
			return r;
	}
	return (ssize_t)i;
}

uint64_t http1_chunked_left(const struct http1_chunked *c)
{
	return c->state == CHUNKED_DATA ? c->size : 0;
}

void http1_chunked_data(struct http1_chunked *c, uint64_t n)
{
	/* Fatal: the caller's fault; http1.c passes at most what is left. */
	if (n > http1_chunked_left(c))
		fatal("chunked: more data than the chunk has");
	if (n == 0)
		return;
	c->size -= n;
	if (c->size == 0)
		c->state = CHUNKED_DATA_CR;
	c->extensions_bytes -= c->extensions_bytes < n ? c->extensions_bytes : (unsigned)n;
}

bool http1_chunked_done(const struct http1_chunked *c)
{
	return c->state == CHUNKED_DONE;
}
