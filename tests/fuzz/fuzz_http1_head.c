/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request heads. The input is a request as it would come. What is taken is the same wherever the
 * input was cut, satisfies what http_head.h promises, and llhttp reads it in the same way.
 */
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "rpc/http/http1_parse.h"
#include "rpc/http/http_chars.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/oracle.h"

/* Scans in pieces of `step` bytes, each time in memory that ends with what is there. */
static int scan_in_steps(struct http1_scan *scan, const char *p, size_t n, size_t step)
{
	const char *why;

	for (size_t have = step < n ? step : n;; have = have + step < n ? have + step : n) {
		char *piece = malloc(have ? have : 1);
		int r;

		memcpy(piece, p, have);
		r = http1_scan_head(scan, piece, have, &why);
		free(piece);
		if (r != 0 || have == n)
			return r;
	}
}

static void check_head(const struct http_head *head)
{
	CHECK(*head->method && (*head->path == '/' || !strcmp(head->path, "*")));
	CHECK(!strchr(head->path, '?') && !strpbrk(head->target, " \t\r\n"));
	CHECK(head->n_fields <= HTTP_MAX_FIELDS);
	CHECK((head->body == HTTP_BODY_LENGTH) == (head->content_length > 0));
	CHECK(head->content_length <= INT64_MAX);
	for (unsigned i = 0; i < head->n_fields; i++) {
		const struct http_field *f = &head->fields[i];

		CHECK(strlen(f->name) == f->name_bytes && f->name_bytes > 0);
		CHECK(strlen(f->value) == f->value_bytes);
		CHECK(!http_is_space(f->value[0]));
		CHECK(f->value_bytes == 0 || !http_is_space(f->value[f->value_bytes - 1]));
		CHECK(!strpbrk(f->value, "\r\n"));
	}
}

static bool has_byte_above_ascii(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text > 0x7f)
			return true;
	return false;
}

/* Whether llhttp's refusal is of something that it does not know and we take on purpose. */
static bool refusal_is_known(const char *error, const struct http_head *head, const char *p,
			     size_t n)
{
	/* It knows a list of methods, some of them only with RTSP. */
	if (!strcmp(error, "HPE_INVALID_METHOD") || !strcmp(error, "HPE_INVALID_CONSTANT"))
		return true;
	/* HTTP/1.2 and more. */
	if (!strcmp(error, "HPE_INVALID_VERSION"))
		return ((const char *)memmem(p, n, " HTTP/1.", 8))[8] > '1';
	/* Tabs are white space around a value: RFC 9110 section 5.6.3. */
	if (!strcmp(error, "HPE_INVALID_CONTENT_LENGTH"))
		return memchr(p, '\t', n);
	if (strcmp(error, "HPE_INVALID_URL") != 0)
		return false;
	/* In the host of a target it takes fewer characters; from version 9 on in a path, too. */
	return *head->target != '/' || has_byte_above_ascii(head->target);
}

/* Compares what llhttp read with what we did. */
static void check_oracle(const char *p, size_t n, const struct http_head *head)
{
	struct evbuffer *ours = evbuffer_new();
	struct oracle o;

	evbuffer_add_printf(ours, "%s %s\n", head->method, head->target);
	for (unsigned i = 0; i < head->n_fields; i++)
		evbuffer_add_printf(ours, "%s:%s\n", head->fields[i].name, head->fields[i].value);
	oracle_run(&o, p, n);
	if (o.error && !o.head_complete) {
		if (!refusal_is_known(o.error, head, p, n))
			fatal("llhttp refuses it: %s", o.error);
	} else {
		size_t bytes = evbuffer_get_length(ours);

		CHECK(o.head_complete);
		CHECK(o.head_bytes == bytes && !memcmp(o.head, evbuffer_pullup(ours, -1), bytes));
		CHECK(o.chunked == (head->body == HTTP_BODY_CHUNKED));
		CHECK(o.content_length == head->content_length);
		CHECK(o.keep_alive || !head->keep_alive);
	}
	oracle_clear(&o);
	evbuffer_free(ours);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *p = (const char *)data;
	struct http1_scan whole = {0}, bytewise = {0}, steps = {0};
	int taken = scan_in_steps(&whole, p, n, n);
	struct arena arena = {0};
	struct http_head head;
	const char *why;

	if (n > 4096)
		return 0;
	CHECK(scan_in_steps(&bytewise, p, n, 1) == taken);
	CHECK(scan_in_steps(&steps, p, n, 13) == taken);
	if (taken > 0) {
		char *exact = malloc((size_t)taken);

		memcpy(exact, p, (size_t)taken);
		if (http1_parse_head(&whole, exact, (size_t)taken, &arena, &head, &why) == 0) {
			check_head(&head);
			check_oracle(exact, (size_t)taken, &head);
		}
		free(exact);
		arena_clear(&arena);
	}
	return 0;
}
