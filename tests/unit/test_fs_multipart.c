/* SPDX-License-Identifier: Apache-2.0 */
/* Forms: whole, cut at every byte, and byte by byte, before a guard page. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/mem.h"
#include "fs/http/multipart.h"
#include "fs/http/quoted_printable.h"
#include "tests/unit/guard.h"

static struct arena arena;

/* Everything a parser tells, as text: "[name]data|", then "." for the end or "!" for an error. */
struct told {
	char text[8192];
	size_t n;
};

static void tell(struct told *told, const char *p, size_t n)
{
	assert_true(told->n + n < sizeof(told->text));
	memcpy(told->text + told->n, p, n);
	told->n += n;
	told->text[told->n] = '\0';
}

static void feed(struct multipart *m, const char *p, size_t n, struct told *told)
{
	struct guard guard;
	const char *piece = guard_put(&guard, p, n);
	enum multipart_event event;
	char *field;

	while ((event = multipart_next(m, &piece, &n)) != MULTIPART_MORE) {
		if (event == MULTIPART_PART) {
			field = multipart_field(m, "content-disposition", &arena);
			tell(told, "[", 1);
			tell(told, field ? field : "-", field ? strlen(field) : 1);
			tell(told, "]", 1);
		} else if (event == MULTIPART_DATA) {
			tell(told, m->data, m->data_bytes);
		} else if (event == MULTIPART_PART_END) {
			tell(told, "|", 1);
		} else if (event == MULTIPART_END) {
			tell(told, ".", 1);
		} else {
			break;
		}
	}
	guard_clear(&guard);
}

/* Feeds the body in pieces that end at `cut`, or of one byte each where that is (size_t)-1. */
static char *parse(const char *boundary, const char *body, size_t n, size_t cut)
{
	struct told *told = arena_zalloc(&arena, sizeof(*told));
	struct multipart m;

	multipart_init(&m, boundary);
	if (cut == (size_t)-1) {
		for (size_t i = 0; i < n; i++)
			feed(&m, body + i, 1, told);
	} else {
		feed(&m, body, cut, told);
		feed(&m, body + cut, n - cut, told);
	}
	if (multipart_finish(&m) < 0) {
		assert_non_null(m.error);
		tell(told, "!", 1);
	}
	multipart_clear(&m);
	return told->text;
}

static void test_multipart(void **state)
{
	static const struct {
		const char *body;
		const char *told;
	} cases[] = {
		{"--b\r\nContent-Disposition: x\r\n\r\ndata\r\n--b--\r\n", "[x]data|."},
		{"--b\r\nContent-Disposition: x\r\n\r\ndata\r\n--b--", "[x]data|."},
		{"--b\r\ncontent-disposition:x \r\n\r\n1\r\n--b \t\r\nA: b\r\n\r\n2\r\n--b-- "
		 "\r\nepilogue",
		 "[x]1|[-]2|."},
		/* a part without head, without data, without both */
		{"--b\r\n\r\ndata\r\n--b--", "[-]data|."},
		{"--b\r\nA: b\r\n\r\n\r\n--b--", "[-]|."},
		{"--b\r\nA: b\r\n\r\n--b--", "[-]|."},
		{"--b\r\n\r\n--b\r\n\r\n--b--", "[-]|[-]|."},
		/* preamble, and lines in it that look like boundaries */
		{"pre\r\nam\n--bc\r\n--b-x\r\n--b x\r\n x--b\r\n--b\r\n\r\n1\r\n--b--", "[-]1|."},
		{"--b--", "."},
		{"--b--\r\nwhatever", "."},
		{"pre\r\n--b--", "."},
		/* what looks like a boundary in the data */
		{"--b\r\n\r\nx\r\n--bb\r\n--b-\r\n-b\r\n--\r\n\r\r\n--c\r\n--b--",
		 "[-]x\r\n--bb\r\n--b-\r\n-b\r\n--\r\n\r\r\n--c|."},
		{"--b\r\n\r\n--bc\r\n--b--", "[-]--bc|."},
		{"--b\r\n\r\n--b-c\r\n--b--", "[-]--b-c|."},
		{"--b\r\n\r\nx--b--\r\n--b--", "[-]x--b--|."},
		{"--b\r\n\r\nx\n--b--\r\n--b--", "[-]x\n--b--|."},
		{"--b\r\n\r\n\r\n\r\n\r\n--b--", "[-]\r\n\r\n|."},
		{"--b\r\n\r\n\r\r\n--b--", "[-]\r|."},
		/* lines that end in LF alone */
		{"--b\nA: b\n\nx\r\ny\n--b\n\nz\n--b--\n", "[-]x\r\ny|[-]z|."},
		{"--b\n\n--b--", "[-]|."},
		{"--b\n\nx\n--bc\n--b--", "[-]x\n--bc|."},
		/* heads: folded lines, LF, the first of two counts */
		{"--b\r\nA: b\r\nContent-Disposition: x\r\n  y\r\n\tz\r\n\r\n1\r\n--b--",
		 "[x y z]1|."},
		{"--b\r\nContent-Disposition: 1\nContent-Disposition: 2\r\n\n1\r\n--b--", "[1]1|."},
		/* too early an end */
		{"", "!"},
		{"pre", "!"},
		{"--b", "!"},
		{"--b\r\n", ""},
		{"--b\r\nContent-Dispos", ""},
		{"--b\r\nA: b\r\n", ""},
		{"--b\r\n\r\n", "[-]!"},
		{"--b\r\n\r\nda", "[-]da!"},
		{"--b\r\n\r\nda\r\n", "[-]da!"},
		{"--b\r\n\r\nda\r\n--b", "[-]da!"},
		{"--b\r\n\r\nda\r\n--b\r", "[-]da|!"},
		{"--b\r\n\r\nda\r\n--b\r\n", "[-]da|"},
		/* malformed */
		{"--b\r\nno colon\r\n\r\nx\r\n--b--", "!"},
		{"--b\r\n: x\r\n\r\nx\r\n--b--", "!"},
		{"--b\r\n A: x\r\n\r\nx\r\n--b--", "!"},
		{"--b\r\nA : x\r\n\r\nx\r\n--b--", "!"},
		{"--b\r\n\r\nx\r\n--b y\r\n", "[-]x|!"},
		{"--b\r\n\r\nx\r\n--b\n\r\ny\r\n--b--", "[-]x|!"},
		{"--b\n\nx\n--b\r\n\r\ny\n--b--", "[-]x|!"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t n = strlen(cases[i].body);

		for (size_t cut = 0; cut <= n; cut++)
			assert_string_equal(parse("b", cases[i].body, n, cut), cases[i].told);
		assert_string_equal(parse("b", cases[i].body, n, (size_t)-1), cases[i].told);
	}
	arena_clear(&arena);
}

static void test_boundaries(void **state)
{
	static const char *const boundaries[] = {"-",	 "--", "b-", "--b--", "'()+_,-./:=? x",
						 "b\xff"};
	char body[256], told[256];
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(boundaries); i++) {
		const char *b = boundaries[i];

		n = (size_t)sprintf(body, "--%s\r\n\r\nx\r\n--%sy\r\n--%s\r\n\r\n\r\n--%s--", b, b,
				    b, b);
		sprintf(told, "[-]x\r\n--%sy|[-]|.", b);
		for (size_t cut = 0; cut <= n; cut++)
			assert_string_equal(parse(b, body, n, cut), told);
		assert_string_equal(parse(b, body, n, (size_t)-1), told);
	}
	arena_clear(&arena);
}

/* A head has a bound, and a NUL in it is refused; data may hold any byte. */
static void test_limits(void **state)
{
	char *large = arena_zalloc(&arena, MULTIPART_HEAD_MAX_BYTES + 100);
	static const char nul[] = "--b\r\nA: \0\r\n\r\nx\r\n--b--";
	static const char data[] = "--b\r\n\r\n\0\0\r\n--b\0\r\n--b--";
	struct told *told = arena_zalloc(&arena, sizeof(*told));
	struct multipart m;

	sprintf(large, "--b\r\nA: %0*d", (int)MULTIPART_HEAD_MAX_BYTES, 0);
	assert_string_equal(parse("b", large, strlen(large), 10), "!");
	assert_string_equal(parse("b", nul, sizeof(nul) - 1, 5), "!");

	multipart_init(&m, "b");
	feed(&m, data, sizeof(data) - 1, told);
	assert_int_equal(multipart_finish(&m), 0);
	assert_int_equal(told->n, 3 + 2 + 2 + 4 + 2);
	assert_memory_equal(told->text, "[-]\0\0\r\n--b\0|.", told->n);
	multipart_clear(&m);
	arena_clear(&arena);
}

static char *decode(const char *text, size_t n, size_t cut)
{
	struct qp *qp = arena_zalloc(&arena, sizeof(*qp));
	struct told *told = arena_zalloc(&arena, sizeof(*told));
	char out[QP_LINE_MAX_BYTES];
	ssize_t got;

	for (size_t part = 0; part < 2; part++) {
		size_t bytes = part ? n - cut : cut;
		struct guard guard;
		const char *p = guard_put(&guard, part ? text + cut : text, bytes);

		while ((got = qp_next(qp, &p, &bytes, out)) >= 0)
			tell(told, out, (size_t)got);
		guard_clear(&guard);
		if (got == -EBADMSG) {
			tell(told, "!", 1);
			return told->text;
		}
		assert_int_equal(got, -EAGAIN);
	}
	got = qp_finish(qp, out);
	if (got < 0)
		tell(told, "!", 1);
	else
		tell(told, out, (size_t)got);
	return told->text;
}

static void test_quoted_printable(void **state)
{
	static const char *const cases[][2] = {
		{"", ""},
		{"plain", "plain"},
		{"a=3D=C3=a9b", "a=\xc3\xa9"
				"b"},
		{"soft=\r\nbreak=  \t\r\ntwo=\nthree", "softbreaktwothree"},
		{"trailing \t\r\nblanks  \nend  ", "trailing\r\nblanks\nend"},
		{"\r\n\r\n", "\r\n\r\n"},
		{"no=hex =4 =zz", "no=hex =4 =zz"},
		{"\xff\xc3", "\xff\xc3"},
		{"end=", "end"},
		{"=", "!"},
		{"x\ny= z\n", "x\ny= z\n"},
		{"bell\a", "!"},
		{"x\ndel\x7f\n", "x\n!"},
	};
	char large[QP_LINE_MAX_BYTES + 10];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t cut = 0; cut <= strlen(cases[i][0]); cut++)
			assert_string_equal(decode(cases[i][0], strlen(cases[i][0]), cut),
					    cases[i][1]);
	memset(large, 'x', sizeof(large));
	assert_string_equal(decode(large, sizeof(large), 100), "!");
	arena_clear(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_multipart),
		cmocka_unit_test(test_boundaries),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_quoted_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
