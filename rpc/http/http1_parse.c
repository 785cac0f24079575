/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/http/http1_parse.h"

#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/decimal.h"
#include "rpc/http/header_value.h"
#include "rpc/http/http_chars.h"

static int refuse(const char **why, int status, const char *text)
{
	*why = text;
	return -status;
}

/* ---- the end of the head ---- */

/* Returns true if the first line begins neither as a request line nor as an empty line. */
static bool starts_badly(const struct http1_scan *scan, const char *p, size_t n)
{
	return scan->n_lines == 0 && scan->line < n && !http_is_token(p[scan->line]) &&
	       p[scan->line] != '\r' && p[scan->line] != '\n';
}

int http1_scan_head(struct http1_scan *scan, const char *p, size_t n, const char **why)
{
	size_t max = n < HTTP_HEAD_MAX_BYTES ? n : HTTP_HEAD_MAX_BYTES;
	const char *lf;

	while ((lf = memchr(p + scan->scanned_bytes, '\n', max - scan->scanned_bytes))) {
		size_t line = scan->line, line_end = (size_t)(lf - p);

		if (starts_badly(scan, p, max))
			return refuse(why, 400, "not an HTTP request");
		if (line_end == line || lf[-1] != '\r')
			return refuse(why, 400, "line without CR");
		scan->line = scan->scanned_bytes = line_end + 1;
		if (line_end - line > 1) {
			if (++scan->n_lines > HTTP_MAX_FIELDS + 1)
				return refuse(why, 431, "too many header fields");
		} else if (scan->n_lines > 0) {
			return (int)scan->line;
		} else if (scan->skipped) {
			return refuse(why, 400, "empty lines before the request");
		} else {
			scan->skipped = true;
		}
	}
	scan->scanned_bytes = max;
	if (starts_badly(scan, p, max))
		return refuse(why, 400, "not an HTTP request");
	if (max == HTTP_HEAD_MAX_BYTES)
		return refuse(why, 431, "request head too large");
	return 0;
}

/* ---- the request line ---- */

/*
 * Returns true if [p, end) has the form host[:port], judged by its characters (RFC 3986 section
 * 3.2).
 */
static bool host_is_good(const char *p, const char *end)
{
	for (; p < end; p++) {
		char c = *p;
		bool alnum =
			(c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

		if (!alnum && (c == '\0' || !strchr("-._~!$&'()*+,;=%[]:", c)))
			return false;
	}
	return true;
}

/* Returns true if every '%' of the path begins an escape. */
static bool escapes_are_good(const char *path)
{
	for (const char *p = path; (p = strchr(p, '%')); p++)
		if (http_hex_value(p[1]) < 0 || http_hex_value(p[2]) < 0)
			return false;
	return true;
}

/* Returns the path of a target in absolute form, or NULL if it has another form. */
static const char *absolute_path(char *target)
{
	char *host, *host_end;

	if (!strncasecmp(target, "http://", 7))
		host = target + 7;
	else if (!strncasecmp(target, "https://", 8))
		host = target + 8;
	else
		return NULL;
	host_end = host + strcspn(host, "/?");
	return host_end > host && host_is_good(host, host_end) ? host_end : NULL;
}

/* Divides the target, which is NUL-terminated, into path and query. 0, or -status. */
static int parse_target(char *target, struct arena *arena, struct http_head *head, const char **why)
{
	const char *path = target, *query;

	if (!strcmp(head->method, "CONNECT"))
		return refuse(why, 501, "CONNECT is for proxies");
	if (*target != '/' && (strcmp(target, "*") || strcmp(head->method, "OPTIONS")))
		path = absolute_path(target);
	if (!path)
		return refuse(why, 400, "bad request target");
	head->target = target;
	query = strchr(path, '?');
	if (query || !*path) {
		/*
		 * `target` must not change, so the path is a copy. A URI without a path means "/".
		 */
		size_t n = query ? (size_t)(query - path) : 0;

		path = n > 0 ? arena_strndup(arena, path, n) : "/";
	}
	head->path = path;
	head->query = query ? query + 1 : NULL;
	return escapes_are_good(path) ? 0 : refuse(why, 400, "bad escape in the path");
}

/* Parses "HTTP/1.1". 0, or -status. */
static int parse_version(const char *p, size_t n, struct http_head *head, const char **why)
{
	if (n != 8 || memcmp(p, "HTTP/", 5) || p[5] < '0' || p[5] > '9' || p[6] != '.' ||
	    p[7] < '0' || p[7] > '9')
		return refuse(why, 400, "bad request line");
	if (p[5] != '1')
		return refuse(why, 505, "HTTP version not supported");
	head->minor_version = p[7] > '0';
	return 0;
}

/* Parses the line that ends before `end` (which is at its CR). 0, or -status. */
static int parse_request_line(char *p, char *end, struct arena *arena, struct http_head *head,
			      const char **why)
{
	char *target;
	int r;

	head->method = p;
	while (http_is_token(*p))
		p++;
	if (p == head->method || *p != ' ')
		return refuse(why, 400, "bad method");
	*p++ = '\0';
	target = p;
	while ((unsigned char)*p > ' ' && *p != 0x7f)
		p++;
	if (p == target || *p != ' ')
		return refuse(why, 400, "bad request target");
	*p++ = '\0';
	r = parse_version(p, (size_t)(end - p), head, why);
	return r < 0 ? r : parse_target(target, arena, head, why);
}

/* ---- the fields ---- */

/* The fields that decide about the connection and the body. */
struct framing {
	const char *content_length, *transfer_encoding;
	unsigned n_hosts;
	bool close, keep_alive, expect;
};

/* Records a field that decides about the framing. 0, or -status. */
static int note_field(const struct http_field *field, struct framing *f, const char **why)
{
	const char *name = field->name, *value = field->value;

	switch (field->name_bytes) {
	case 4:
		if (memcmp(name, "host", 4))
			break;
		if (f->n_hosts++ || !host_is_good(value, value + field->value_bytes))
			return refuse(why, 400, "bad Host");
		break;
	case 6:
		if (memcmp(name, "expect", 6))
			break;
		if (strcasecmp(value, "100-continue"))
			return refuse(why, 417, "unknown expectation");
		f->expect = true;
		break;
	case 10:
		if (memcmp(name, "connection", 10))
			break;
		f->close |= header_list_has(value, "close");
		f->keep_alive |= header_list_has(value, "keep-alive");
		break;
	case 14:
		if (memcmp(name, "content-length", 14))
			break;
		if (f->content_length)
			return refuse(why, 400, "more than one Content-Length");
		f->content_length = value;
		break;
	case 17:
		if (memcmp(name, "transfer-encoding", 17))
			break;
		/* Several fields form a list of codings, and no list is supported. */
		f->transfer_encoding = f->transfer_encoding ? "" : value;
		break;
	}
	return 0;
}

/*
 * Parses the field line at p, in place: the name becomes lower case, NULs end name and value.
 * Every line ends in CRLF. Returns the beginning of the next line, or NULL, with *why.
 */
static char *parse_field(char *p, struct http_field *ret, const char **why)
{
	char *name = p, *value, *end;
	unsigned char lower;

	while ((lower = http_token_lower[(unsigned char)*p]))
		*p++ = (char)lower;
	if (p == name || *p != ':') {
		*why = "bad header field name";
		return NULL;
	}
	ret->name = name;
	ret->name_bytes = (unsigned)(p - name);
	*p++ = '\0';
	while (http_is_space(*p))
		p++;
	value = p;
	while (http_is_value(*p))
		p++;
	if (p[0] != '\r' || p[1] != '\n') {
		*why = "control character in a header field";
		return NULL;
	}
	for (end = p; end > value && http_is_space(end[-1]);)
		end--;
	*end = '\0';
	ret->value = value;
	ret->value_bytes = (unsigned)(end - value);
	return p + 2;
}

/*
 * Decides the framing of the body, and whether the connection is kept (RFC 9112 sections 6, 9.3).
 */
static int decide_framing(const struct framing *f, struct http_head *head, const char **why)
{
	if (f->n_hosts == 0 && head->minor_version > 0)
		return refuse(why, 400, "missing Host");
	if (f->transfer_encoding) {
		if (head->minor_version == 0 || f->content_length)
			return refuse(why, 400, "Transfer-Encoding in doubt");
		if (strcasecmp(f->transfer_encoding, "chunked"))
			return refuse(why, 501, "unsupported Transfer-Encoding");
		head->body = HTTP_BODY_CHUNKED;
	} else if (f->content_length) {
		if (!decimal_parse_text(f->content_length, INT64_MAX, &head->content_length))
			return refuse(why, 400, "bad Content-Length");
		head->body = head->content_length > 0 ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
	}
	head->keep_alive = !f->close && (head->minor_version > 0 || f->keep_alive);
	head->expect_continue =
		f->expect && head->minor_version > 0 && head->body != HTTP_BODY_NONE;
	return 0;
}

int http1_parse_head(const struct http1_scan *scan, const char *p, size_t head_bytes,
		     struct arena *arena, struct http_head *ret, const char **why)
{
	struct framing framing = {0};
	size_t skip = scan->skipped ? 2 : 0;
	char *line = arena_strndup(arena, p + skip, head_bytes - skip);
	char *line_end = memchr(line, '\r', head_bytes - skip);
	int r;

	memset(ret, 0, sizeof(*ret));
	if (line_end[1] != '\n')
		return refuse(why, 400, "bad request line");
	r = parse_request_line(line, line_end, arena, ret, why);
	if (r < 0)
		return r;
	ret->fields = arena_alloc(arena, (scan->n_lines - 1) * sizeof(*ret->fields));
	for (line = line_end + 2; ret->n_fields < scan->n_lines - 1; ret->n_fields++) {
		line = parse_field(line, &ret->fields[ret->n_fields], why);
		if (!line)
			return -400;
		r = note_field(&ret->fields[ret->n_fields], &framing, why);
		if (r < 0)
			return r;
	}
	return decide_framing(&framing, ret, why);
}
