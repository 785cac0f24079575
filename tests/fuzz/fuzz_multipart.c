/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forms: whole against cut at a point of the input's choice, and against single bytes. The first
 * byte is the length of the boundary that follows, the second where to cut.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "fs/http/multipart.h"
#include "fs/http/quoted_printable.h"
#include "tests/fuzz/fuzz.h"

/* What a parser told, as one text. */
struct told {
	char *text;
	size_t n, capacity;
};

static void tell(struct told *told, const char *p, size_t n)
{
	if (told->n + n > told->capacity) {
		told->capacity = 2 * (told->n + n);
		told->text = mem_realloc(told->text, told->capacity);
	}
	if (n)
		memcpy(told->text + told->n, p, n);
	told->n += n;
}

static void feed(struct multipart *m, const char *p, size_t n, struct told *told)
{
	char *piece = malloc(n);
	const char *at = piece;
	struct arena arena = {0};
	enum multipart_event event;
	size_t left = n;
	char *field;

	if (n)
		memcpy(piece, p, n);
	while ((event = multipart_next(m, &at, &left)) != MULTIPART_MORE) {
		if (event == MULTIPART_ERROR)
			break;
		if (event == MULTIPART_DATA) {
			CHECK(m->data_bytes > 0);
			tell(told, m->data, m->data_bytes);
			continue;
		}
		tell(told, "<", 1);
		tell(told, (const char *)&event, 1);
		field = event == MULTIPART_PART ? multipart_field(m, "a", &arena) : NULL;
		if (field)
			tell(told, field, strlen(field));
		tell(told, ">", 1);
	}
	CHECK(event == MULTIPART_ERROR || left == 0);
	arena_clear(&arena);
	free(piece);
}

static void parse(const char *boundary, const char *p, size_t n, size_t step, struct told *told)
{
	struct multipart m;
	size_t bytes;

	multipart_init(&m, boundary);
	for (; n; p += bytes, n -= bytes) {
		bytes = step < n ? step : n;
		feed(&m, p, bytes, told);
	}
	if (multipart_finish(&m) < 0) {
		CHECK(m.error);
		tell(told, "!", 1);
	}
	multipart_clear(&m);
}

static void decode(const char *p, size_t n, size_t step, struct told *told)
{
	static struct qp qp;
	static char out[QP_LINE_MAX_BYTES];
	ssize_t got = 0;
	size_t bytes;

	memset(&qp, 0, sizeof(qp));
	while (n && got != -EBADMSG) {
		size_t left = bytes = step < n ? step : n;
		const char *at = p;

		while ((got = qp_next(&qp, &at, &left, out)) >= 0)
			tell(told, out, (size_t)got);
		p += bytes;
		n -= bytes;
	}
	if (got != -EBADMSG)
		got = qp_finish(&qp, out);
	tell(told, got < 0 ? "!" : out, got < 0 ? 1 : (size_t)got);
}

static void compare(struct told *a, struct told *b)
{
	CHECK(a->n == b->n && (a->n == 0 || memcmp(a->text, b->text, a->n) == 0));
	free(b->text);
	memset(b, 0, sizeof(*b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct told whole = {0}, pieces = {0};
	char boundary[256];
	size_t length, step;
	const char *body;

	if (n < 3)
		return 0;
	length = data[0] ? data[0] : 1;
	step = data[1] ? data[1] : 1;
	if (length > n - 2)
		return 0;
	memcpy(boundary, data + 2, length);
	boundary[length] = '\0';
	if (strlen(boundary) != length || strpbrk(boundary, "\r\n"))
		return 0;
	body = (const char *)data + 2 + length;
	n -= 2 + length;

	parse(boundary, body, n, n, &whole);
	parse(boundary, body, n, step, &pieces);
	compare(&whole, &pieces);
	parse(boundary, body, n, 1, &pieces);
	compare(&whole, &pieces);
	free(whole.text);
	memset(&whole, 0, sizeof(whole));

	decode(body, n, n, &whole);
	decode(body, n, step, &pieces);
	compare(&whole, &pieces);
	free(whole.text);
	return 0;
}
