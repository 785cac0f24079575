/* SPDX-License-Identifier: Apache-2.0 */
/* Chunked bodies: decoded alike however they are cut; every doubt refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "rpc/http/http1_chunked.h"
#include "tests/unit/guard.h"

/* A literal that may have NULs in it, and its length. */
#define B(literal) (literal), sizeof(literal) - 1

/* A body under decoding, and what came out of it. */
struct decoding {
	struct http1_chunked chunked;
	char data[256];
	size_t data_bytes;
	int status; /* of the refusal, or 0 */
};

/* Feeds n bytes. Returns how many were taken: all, or those up to the end or the refusal. */
static size_t feed(struct decoding *d, const char *bytes, size_t n)
{
	struct guard guard;
	const char *p = guard_put(&guard, bytes, n), *why = NULL;
	size_t at = 0;

	while (at < n && !http1_chunked_done(&d->chunked)) {
		ssize_t taken = http1_chunked_framing(&d->chunked, p + at, n - at, &why);
		size_t m;

		if (taken < 0) {
			assert_non_null(why);
			d->status = (int)-taken;
			break;
		}
		at += (size_t)taken;
		m = http1_chunked_left(&d->chunked);
		if (m > n - at)
			m = n - at;
		assert_true(d->data_bytes + m <= sizeof(d->data));
		memcpy(d->data + d->data_bytes, p + at, m);
		d->data_bytes += m;
		http1_chunked_data(&d->chunked, m);
		at += m;
	}
	guard_clear(&guard);
	return at;
}

static void test_taken(void **state)
{
	static const struct {
		const char *text, *data;
	} cases[] = {
		{"0\r\n\r\n", ""},
		{"3\r\nabc\r\n0\r\n\r\n", "abc"},
		{"3\r\nabc\r\nA\r\n0123456789\r\n000\r\n\r\n", "abc0123456789"},
		{"00000000000000a\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n\r\n\r\n\r\n"},
		{"3;\r\nabc\r\n0;x\r\n\r\n", "abc"},
		{"3;name=\"va;l\\\"ue\" ; b\r\nabc\r\n0\r\n\r\n", "abc"},
		{"1\r\na\r\n0\r\nTrailer: x\r\nGrpc-Status:0\r\ne:\r\n\r\n", "a"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *text = cases[i].text;
		char behind[128];

		/* Whole, with the next request behind it. */
		snprintf(behind, sizeof(behind), "%sGET", text);
		for (size_t step = 1; step <= strlen(behind); step++) {
			struct decoding d = {0};
			size_t taken = 0;

			while (taken < strlen(behind) && !d.status &&
			       !http1_chunked_done(&d.chunked)) {
				size_t n = strlen(behind) - taken < step ? strlen(behind) - taken
									 : step;

				taken += feed(&d, behind + taken, n);
			}
			assert_int_equal(d.status, 0);
			assert_true(http1_chunked_done(&d.chunked));
			assert_int_equal(taken, strlen(text));
			assert_int_equal(d.data_bytes, strlen(cases[i].data));
			assert_memory_equal(d.data, cases[i].data, d.data_bytes);
		}

		/* Every prefix needs more. */
		for (size_t n = 0; n < strlen(text); n++) {
			struct decoding d = {0};

			assert_int_equal(feed(&d, text, n), n);
			assert_int_equal(d.status, 0);
			assert_false(http1_chunked_done(&d.chunked));
		}
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *name, *text;
		size_t n;
	} cases[] = {
		{"no size", B("\r\n")},
		{"extension without a size", B(";x\r\n")},
		{"space before the size", B(" 3\r\n")},
		{"space behind the size", B("3 \r\nabc\r\n")},
		{"tab behind the size", B("3\t\r\nabc\r\n")},
		{"sign", B("+3\r\n")},
		{"minus", B("-3\r\n")},
		{"0x", B("0x3\r\n")},
		{"underscore", B("1_0\r\n")},
		{"letter", B("g\r\n")},
		{"size ends in LF", B("3\nabc\r\n")},
		{"size ends in CR", B("3\rabc\r\n")},
		{"space before an extension", B("3 ;a\r\nabc\r\n")},
		{"digit behind a space", B("3 3\r\n")},
		{"above INT64_MAX", B("8000000000000000\r\n")},
		{"above UINT64_MAX", B("10000000000000003\r\n")},
		{"too many zeros", B("00000000000000003\r\n")},
		{"LF in an extension", B("3;a\nabc\r\n")},
		{"CR in an extension", B("3;a\rb\r\nabc\r\n")},
		{"NUL in an extension", B("3;\0\r\nabc\r\n")},
		{"data ends in LF", B("3\r\nabc\n0\r\n\r\n")},
		{"data ends in CR", B("3\r\nabc\r0\r\n\r\n")},
		{"data too long", B("3\r\nabcd\r\n0\r\n\r\n")},
		{"another byte for the CR", B("3\r\nabcd\n0\r\n\r\n")},
		{"data too short", B("4\r\nabc\r\n0\r\n\r\n")},
		{"trailer without a name", B("0\r\n: x\r\n\r\n")},
		{"trailer without a colon", B("0\r\nx\r\n\r\n")},
		{"trailer with a space", B("0\r\nx : y\r\n\r\n")},
		{"folded trailer", B("0\r\nx: y\r\n z\r\n\r\n")},
		{"trailer ends in LF", B("0\r\nx: y\n\r\n")},
		{"trailer ends in CR", B("0\r\nx: y\rz: a\r\n\r\n")},
		{"NUL in a trailer", B("0\r\nx: \0\r\n\r\n")},
		{"end in LF", B("0\r\n\n")},
		{"end in CR", B("0\r\n\r\r")},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t n = cases[i].n;
		struct decoding whole = {0}, bytewise = {0};

		feed(&whole, cases[i].text, n);
		for (size_t at = 0; at < n && !bytewise.status; at++)
			feed(&bytewise, cases[i].text + at, 1);
		if (whole.status != 400 || bytewise.status != 400)
			fail_msg("%s: %d, %d", cases[i].name, whole.status, bytewise.status);
	}
}

/* The largest size is taken as a number, and nothing is held for it. */
static void test_largest_size(void **state)
{
	struct http1_chunked c = {0};
	const char *why;

	assert_int_equal(http1_chunked_framing(&c, "7fffFFFFffffFFFF\r\nxyz", 21, &why), 18);
	assert_int_equal(http1_chunked_left(&c), INT64_MAX);
	http1_chunked_data(&c, 3);
	assert_int_equal(http1_chunked_left(&c), INT64_MAX - 3);
	assert_int_equal(http1_chunked_framing(&c, "\r\n", 2, &why), 0);
}

/* How many bytes of `text`, fed again and again, are taken before a refusal; at most `max`. */
static size_t feed_endlessly(const char *first, const char *text, size_t max, int *ret_status)
{
	struct http1_chunked c = {0};
	const char *why;
	size_t fed = 0;
	ssize_t r = http1_chunked_framing(&c, first, strlen(first), &why);

	while (r >= 0 && fed < max) {
		for (const char *p = text; *p && r >= 0; p++) {
			if (http1_chunked_left(&c) > 0)
				http1_chunked_data(&c, 1);
			else
				r = http1_chunked_framing(&c, p, 1, &why);
			fed++;
		}
	}
	*ret_status = r < 0 ? (int)-r : 0;
	return fed;
}

static void test_limits(void **state)
{
	int status;

	/* One endless extension: the first byte above the limit is refused. */
	assert_int_equal(feed_endlessly("1;", "x", 1 << 20, &status),
			 HTTP1_EXTENSIONS_MAX_BYTES + 1);
	assert_int_equal(status, 400);
	/* Many small ones, which outweigh the data. */
	assert_in_range(feed_endlessly("", "1;xxxxxxxxx\r\na\r\n", 1 << 20, &status), 1,
			4 * HTTP1_EXTENSIONS_MAX_BYTES);
	assert_int_equal(status, 400);

	/* Extensions that the data outweighs can go on for ever. */
	feed_endlessly("", "8;abcdef\r\n01234567\r\n", 1 << 20, &status);
	assert_int_equal(status, 0);

	/* One endless trailer; endless trailers. */
	assert_int_equal(feed_endlessly("0\r\n", "x", 1 << 20, &status),
			 HTTP1_TRAILERS_MAX_BYTES + 1);
	assert_int_equal(status, 431);
	feed_endlessly("0\r\n", "x: y\r\n", 1 << 20, &status);
	assert_int_equal(status, 431);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_largest_size),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
