/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/http/multipart.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* "\r\n" */
#define NEWLINE_BYTES 2

void multipart_init(struct multipart *m, const char *boundary)
{
	size_t n = strlen(boundary);

	memset(m, 0, sizeof(*m));
	m->delimiter_bytes = NEWLINE_BYTES + 2 + n;
	m->delimiter = mem_alloc(m->delimiter_bytes + 3);
	stpcpy(stpcpy(stpcpy(m->delimiter, "\r\n--"), boundary), "--");
	m->matched = NEWLINE_BYTES; /* the beginning of the body is the beginning of a line */
}

void multipart_clear(struct multipart *m)
{
	free(m->delimiter);
	free(m->head);
	memset(m, 0, sizeof(*m));
}

static enum multipart_event fail(struct multipart *m, const char *error)
{
	m->error = error;
	m->state = MULTIPART_FAILED;
	return MULTIPART_ERROR;
}

static void skip(const char **p, size_t *n, size_t bytes)
{
	*p += bytes;
	*n -= bytes;
}

/* Continues the match of the delimiter with the next bytes. */
static void match_delimiter(struct multipart *m, const char **p, size_t *n)
{
	while (*n && m->matched < m->delimiter_bytes && **p == m->delimiter[m->matched]) {
		m->matched++;
		skip(p, n, 1);
	}
}

/* Handles the beginning of a line before the first part, which may be a boundary. */
static void read_preamble(struct multipart *m, const char **p, size_t *n)
{
	match_delimiter(m, p, n);
	if (m->matched == m->delimiter_bytes)
		m->state = MULTIPART_LINE;
	else if (*n)
		m->state = MULTIPART_PREAMBLE_REST;
}

static void skip_preamble_line(struct multipart *m, const char **p, size_t *n)
{
	const char *newline = memchr(*p, '\n', *n);

	skip(p, n, newline ? (size_t)(newline + 1 - *p) : *n);
	if (newline) {
		m->state = MULTIPART_PREAMBLE;
		m->matched = NEWLINE_BYTES;
	}
}

/*
 * Returns the state after the byte c that follows a boundary. Blanks may follow, and then the end
 * of the line (in the form that followed the first boundary), or "--".
 */
static enum multipart_state after_boundary(const struct multipart *m, char c)
{
	switch (m->state) {
	case MULTIPART_LINE_CR:
		return c == '\n' ? MULTIPART_HEAD : MULTIPART_FAILED;
	case MULTIPART_LINE_END:
		return c == '-' ? MULTIPART_FINAL : MULTIPART_FAILED;
	case MULTIPART_LINE:
		if (c == '-')
			return MULTIPART_LINE_END;
		/* fall through */
	default:
		if (c == ' ' || c == '\t')
			return MULTIPART_LINE_PAD;
		if (c == '\r' && m->newline == 0)
			return MULTIPART_LINE_CR;
		if (c == '\n' && (m->newline == 1 || m->parts == 0))
			return MULTIPART_HEAD;
		return MULTIPART_FAILED;
	}
}

static enum multipart_event read_line(struct multipart *m, const char **p, size_t *n)
{
	enum multipart_state next = after_boundary(m, **p);

	if (next == MULTIPART_FAILED) {
		if (m->parts)
			return fail(m, "malformed line after a boundary");
		/* Before the first part, it is an ordinary line of the preamble. */
		m->state = MULTIPART_PREAMBLE_REST;
		return MULTIPART_MORE;
	}
	skip(p, n, 1);
	if (next == MULTIPART_HEAD) {
		if (m->state != MULTIPART_LINE_CR)
			m->newline = 1;
		m->head_bytes = m->line = 0;
		m->parts++;
	}
	m->state = next;
	return MULTIPART_MORE;
}

/* Returns true if a line is `name: …` and the name is a token (RFC 9110 section 5.6.2). */
static bool is_field(const char *line)
{
	size_t n = strcspn(line, ":");

	return line[n] && n &&
	       strspn(line, "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "abcdefghijklmnopqrstuvwxyz") == n;
}

/* Ends the last line of the head. Returns true if it is the empty line. */
static bool end_head_line(struct multipart *m)
{
	char *line = m->head + m->line;
	size_t n = m->head_bytes - m->line - 1, blanks;

	if (n && line[n - 1] == '\r')
		n--;
	if (n == 0) {
		m->head_bytes = m->line;
		return true;
	}
	blanks = strspn(line, " \t");
	if (blanks && m->line) {
		/* A folded line: one space replaces its blanks and the line end before it. */
		line[-1] = ' ';
		memmove(line, line + blanks, n - blanks);
		n -= blanks;
	}
	line[n] = '\n';
	m->line += n + 1;
	m->head_bytes = m->line;
	return false;
}

/* Collects the head of a part, up to its empty line. */
static enum multipart_event read_head(struct multipart *m, const char **p, size_t *n)
{
	const char *newline = memchr(*p, '\n', *n);
	size_t bytes = newline ? (size_t)(newline + 1 - *p) : *n;
	char *line, *end;

	if (m->head_bytes + bytes > MULTIPART_HEAD_MAX_BYTES)
		return fail(m, "the head of a part is too large");
	if (m->head_bytes + bytes + 1 > m->head_capacity) {
		m->head_capacity = m->head_bytes + bytes + 256;
		m->head = mem_realloc(m->head, m->head_capacity);
	}
	memcpy(m->head + m->head_bytes, *p, bytes);
	m->head_bytes += bytes;
	m->head[m->head_bytes] = '\0';
	skip(p, n, bytes);
	if (!newline)
		return MULTIPART_MORE;
	if (memchr(m->head + m->line, '\0', m->head_bytes - m->line))
		return fail(m, "a NUL in the head of a part");
	if (!end_head_line(m))
		return MULTIPART_MORE;
	m->head[m->head_bytes] = '\0';
	for (line = m->head; *line; line = end + 1) {
		end = strchr(line, '\n');
		if (!is_field(line))
			return fail(m, "malformed line in the head of a part");
	}
	m->state = MULTIPART_BODY;
	/*
	 * The last newline of the head also counts as the beginning of a delimiter that follows at
	 * once.
	 */
	m->matched = m->held_from = NEWLINE_BYTES;
	return MULTIPART_PART;
}

/* Returns the n bytes as MULTIPART_DATA, or MULTIPART_MORE if n is 0. */
static enum multipart_event give(struct multipart *m, const char *data, size_t n)
{
	m->data = data;
	m->data_bytes = n;
	return n ? MULTIPART_DATA : MULTIPART_MORE;
}

/* Returns the matched bytes as data, because they are not a delimiter. */
static enum multipart_event give_back(struct multipart *m)
{
	size_t from = m->held_from, to = m->matched;

	m->matched = m->held_from = m->newline;
	return give(m, m->delimiter + from, to - from);
}

/* Returns the data before the next possible delimiter. */
static enum multipart_event search_delimiter(struct multipart *m, const char **p, size_t *n)
{
	const char *needle = m->delimiter + m->newline, *data = *p, *found, *tail;
	size_t needle_bytes = m->delimiter_bytes - m->newline, bytes = *n, tail_bytes;

	found = memmem(data, bytes, needle, needle_bytes);
	if (!found) {
		/* The end of the piece may contain the beginning of a delimiter. */
		tail_bytes = bytes < needle_bytes ? bytes : needle_bytes - 1;
		tail = data + bytes - tail_bytes;
		found = memrchr(tail, needle[0], tail_bytes);
		if (found && memcmp(found, needle, (size_t)(data + bytes - found)) != 0)
			found = NULL;
	}
	if (found)
		bytes = (size_t)(found - data);
	skip(p, n, bytes);
	if (found) {
		skip(p, n, 1);
		m->matched++;
	}
	return give(m, data, bytes);
}

/*
 * Reads the body of a part. "\r\n--boundary" ends it only if a blank, a line end or "--" follows:
 * "--boundary-of-mine" is data.
 */
static enum multipart_event read_body(struct multipart *m, const char **p, size_t *n)
{
	if (m->matched == m->newline)
		return search_delimiter(m, p, n);
	match_delimiter(m, p, n);
	if (!*n)
		return MULTIPART_MORE;
	if (m->matched < m->delimiter_bytes)
		return give_back(m);
	if (**p == '-') {
		skip(p, n, 1);
		if (m->matched++ == m->delimiter_bytes)
			return MULTIPART_MORE;
		m->state = MULTIPART_FINAL;
		return MULTIPART_PART_END;
	}
	if (m->matched > m->delimiter_bytes || !strchr(" \t\r\n", **p) || !**p)
		return give_back(m);
	m->state = MULTIPART_LINE;
	return MULTIPART_PART_END;
}

enum multipart_event multipart_next(struct multipart *m, const char **p, size_t *n)
{
	enum multipart_event event = MULTIPART_MORE;

	if (m->state == MULTIPART_FAILED)
		return MULTIPART_ERROR;
	while (event == MULTIPART_MORE && (*n || m->state == MULTIPART_FINAL)) {
		switch (m->state) {
		case MULTIPART_PREAMBLE:
			read_preamble(m, p, n);
			break;
		case MULTIPART_PREAMBLE_REST:
			skip_preamble_line(m, p, n);
			break;
		case MULTIPART_HEAD:
			event = read_head(m, p, n);
			break;
		case MULTIPART_BODY:
			event = read_body(m, p, n);
			break;
		case MULTIPART_LINE:
		case MULTIPART_LINE_PAD:
		case MULTIPART_LINE_CR:
		case MULTIPART_LINE_END:
			event = read_line(m, p, n);
			break;
		case MULTIPART_FINAL:
			m->state = MULTIPART_OVER;
			event = MULTIPART_END;
			break;
		case MULTIPART_OVER:
		case MULTIPART_FAILED:
			skip(p, n, *n);
			break;
		}
	}
	return event;
}

int multipart_finish(struct multipart *m)
{
	switch (m->state) {
	case MULTIPART_HEAD:
	case MULTIPART_FINAL:
	case MULTIPART_OVER:
		return 0;
	case MULTIPART_FAILED:
		return -1;
	case MULTIPART_BODY:
		fail(m, "the body ends inside a part");
		return -1;
	default:
		fail(m, "the body ends before its last boundary");
		return -1;
	}
}

char *multipart_field(const struct multipart *m, const char *name, struct arena *arena)
{
	const char *line, *value, *end;
	size_t length = strlen(name);

	for (line = m->head; line && *line; line = *end ? end + 1 : NULL) {
		end = strchrnul(line, '\n');
		if (strncasecmp(line, name, length) != 0 || line[length] != ':')
			continue;
		value = line + length + 1;
		value += strspn(value, " \t");
		while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
			end--;
		return arena_strndup(arena, value, (size_t)(end - value));
	}
	return NULL;
}
