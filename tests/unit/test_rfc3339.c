/* SPDX-License-Identifier: Apache-2.0 */
/* Points in time as text, there and back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "rpc/codec/rfc3339.h"
#include "tests/unit/guard.h"

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds; /* -1: refused */
		int32_t nanos;
	} cases[] = {
		{"1970-01-01T00:00:00Z", 0, 0},
		{"2024-02-29T12:34:56Z", 1709210096, 0},
		{"2000-02-29T00:00:00Z", 951782400, 0},
		{"0001-01-01T00:00:00Z", RFC3339_MIN_SECONDS, 0},
		{"9999-12-31T23:59:59.999999999Z", RFC3339_MAX_SECONDS, 999999999},
		{"1969-12-31T23:59:58.5Z", -2, 500000000},
		{"2024-02-29T12:34:56.000000001Z", 1709210096, 1},
		{"2024-02-29T14:34:56+02:00", 1709210096, 0},
		{"2024-02-29T07:04:56-05:30", 1709210096, 0},
		{"2024-02-29T12:34:56-00:00", 1709210096, 0},
		{"", -1, 0},
		{"2024-02-29", -1, 0},
		{"2023-02-29T00:00:00Z", -1, 0},
		{"1900-02-29T00:00:00Z", -1, 0},
		{"2024-04-31T00:00:00Z", -1, 0},
		{"2024-00-01T00:00:00Z", -1, 0},
		{"2024-13-01T00:00:00Z", -1, 0},
		{"2024-01-00T00:00:00Z", -1, 0},
		{"2024-01-01T24:00:00Z", -1, 0},
		{"2024-01-01T00:60:00Z", -1, 0},
		{"2024-01-01T00:00:60Z", -1, 0},
		{"2024-01-01t00:00:00Z", -1, 0},
		{"2024-01-01T00:00:00z", -1, 0},
		{"2024-01-01 00:00:00Z", -1, 0},
		{"2024-01-01T00:00:00", -1, 0},
		{"2024-01-01T00:00:00.Z", -1, 0},
		{"2024-01-01T00:00:00,5Z", -1, 0},
		{"2024-01-01T00:00:00.1234567890Z", -1, 0},
		{"2024-01-01T00:00:00+24:00", -1, 0},
		{"2024-01-01T00:00:00+0100", -1, 0},
		{"2024-01-01T00:00:00ZZ", -1, 0},
		{" 2024-01-01T00:00:00Z", -1, 0},
		{"02024-01-01T00:00:00Z", -1, 0},
		{"24-01-01T00:00:00Z", -1, 0},
		{"0001-01-01T00:00:00+00:01", -1, 0},
		{"9999-12-31T23:59:59-00:01", -1, 0},
		{"0000-12-31T23:59:59Z", -1, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t n = strlen(cases[i].text);
		struct guard guard;
		int64_t seconds = -1;
		int32_t nanos = 0;
		int r = rfc3339_parse(guard_put(&guard, cases[i].text, n), n, &seconds, &nanos);

		if (r != (cases[i].seconds == -1 ? -EINVAL : 0) || seconds != cases[i].seconds ||
		    nanos != cases[i].nanos)
			fail_msg("%s: %d, %lld.%09d", cases[i].text, r, (long long)seconds, nanos);
		guard_clear(&guard);
	}
}

static void test_format(void **state)
{
	static const struct {
		int64_t seconds;
		int32_t nanos;
		const char *text; /* NULL: refused */
	} cases[] = {
		{0, 0, "1970-01-01T00:00:00Z"},
		{0, 1, "1970-01-01T00:00:00.000000001Z"},
		{0, 1000, "1970-01-01T00:00:00.000001Z"},
		{0, 10000000, "1970-01-01T00:00:00.010Z"},
		{-1, 999999999, "1969-12-31T23:59:59.999999999Z"},
		{RFC3339_MIN_SECONDS, 0, "0001-01-01T00:00:00Z"},
		{RFC3339_MAX_SECONDS, 0, "9999-12-31T23:59:59Z"},
		{RFC3339_MIN_SECONDS - 1, 0, NULL},
		{RFC3339_MAX_SECONDS + 1, 0, NULL},
		{INT64_MIN, 0, NULL},
		{INT64_MAX, 0, NULL},
		{0, -1, NULL},
		{0, 1000000000, NULL},
	};
	char text[RFC3339_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int r = rfc3339_format(cases[i].seconds, cases[i].nanos, text);

		assert_int_equal(r, cases[i].text ? 0 : -ERANGE);
		if (cases[i].text)
			assert_string_equal(text, cases[i].text);
	}
}

/* Against libc's calendar: each day of some centuries, and days all over the range. */
static void test_calendar(void **state)
{
	int64_t day = -719162, step;

	for (; day < 2932896; day += step) {
		int64_t seconds = day * 86400 + 12345, back = 0;
		char text[RFC3339_BYTES], expected[64];
		time_t t = (time_t)seconds;
		int32_t nanos;
		struct tm tm;

		gmtime_r(&t, &tm);
		snprintf(expected, sizeof(expected), "%04d-%02d-%02dT%02d:%02d:%02dZ",
			 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
			 tm.tm_sec);
		assert_int_equal(rfc3339_format(seconds, 0, text), 0);
		assert_string_equal(text, expected);
		assert_int_equal(rfc3339_parse(text, strlen(text), &back, &nanos), 0);
		assert_true(back == seconds);
		step = day > -80000 && day < 80000 ? 1 : 97;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_calendar),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
