/* SPDX-License-Identifier: Apache-2.0 */
/* Dates: the three forms, the bounds of the calendar, and back again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "rpc/http/http_date.h"

static void test_format(void **state)
{
	static const struct {
		int64_t seconds;
		const char *text;
	} cases[] = {
		{784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
		{0, "Thu, 01 Jan 1970 00:00:00 GMT"},
		{-1, "Wed, 31 Dec 1969 23:59:59 GMT"},
		{951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
		{4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"},
		{253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
		{-62167219200, "Sat, 01 Jan 0000 00:00:00 GMT"},
		{253402300800, NULL},
		{-62167219201, NULL},
		{INT64_MAX, NULL},
		{INT64_MIN, NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char out[HTTP_DATE_BYTES];
		int64_t back;

		assert_int_equal(http_date_format(out, cases[i].seconds), cases[i].text != NULL);
		assert_string_equal(out, cases[i].text ? cases[i].text : "");
		assert_int_equal(http_date_parse(out, &back), cases[i].text != NULL);
		if (cases[i].text)
			assert_int_equal(back, cases[i].seconds);
	}
}

/* Every day of four hundred years, after which the calendar repeats. */
static void test_every_day(void **state)
{
	static const char days[] = "ThuFriSatSunMonTueWed";

	for (int64_t day = 0; day < 146097; day++) {
		char out[HTTP_DATE_BYTES];
		int64_t back;

		assert_true(http_date_format(out, day * 86400 + 86399));
		assert_memory_equal(out, days + 3 * (day % 7), 3);
		assert_true(http_date_parse(out, &back));
		assert_int_equal(back, day * 86400 + 86399);
	}
}

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds; /* -1: refused */
	} cases[] = {
		{"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
		{"Mon, 06 Nov 1994 08:49:37 GMT", 784111777},
		{"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
		{"Sun Nov  6 08:49:37 1994", 784111777},
		{"Wed Nov 16 08:49:37 1994", 784975777},
		{"Wednesday, 01-Jan-69 00:00:00 GMT", -31536000},
		{"Sunday, 01-Jan-68 00:00:00 GMT", 3092601600},
		{"Tue, 29 Feb 2000 00:00:00 GMT", 951782400},
		{"", -1},
		{"Sun", -1},
		{"Sun, 06 Nov 1994 08:49:37", -1},
		{"Sun, 06 Nov 1994 08:49:37 GMT ", -1},
		{" Sun, 06 Nov 1994 08:49:37 GMT", -1},
		{"Sun, 06 Nov 1994 08:49:37 UTC", -1},
		{"Sun, 06 Nov 1994 08:49:37 +0000", -1},
		{"Sun, 6 Nov 1994 08:49:37 GMT", -1},
		{"Sun,  6 Nov 1994 08:49:37 GMT", -1},
		{"sun, 06 nov 1994 08:49:37 gmt", -1},
		{"Xyz, 06 Nov 1994 08:49:37 GMT", -1},
		{"Sun, 06 Xyz 1994 08:49:37 GMT", -1},
		{"Sun, 00 Nov 1994 08:49:37 GMT", -1},
		{"Sun, 31 Nov 1994 08:49:37 GMT", -1},
		{"Thu, 29 Feb 1900 00:00:00 GMT", -1},
		{"Mon, 29 Feb 2001 00:00:00 GMT", -1},
		{"Sun, 06 Nov 1994 24:00:00 GMT", -1},
		{"Sun, 06 Nov 1994 23:60:00 GMT", -1},
		{"Sun, 06 Nov 1994 23:59:60 GMT", -1},
		{"Sun, 06 Nov 1994 8:49:37 GMT", -1},
		{"Sunday, 06 Nov 1994 08:49:37 GMT", -1},
		{"Sun, 06-Nov-94 08:49:37 GMT", -1},
		{"Sun Nov 6 08:49:37 1994", -1},
		{"Sun Nov 06 08:49:37 94", -1},
		{"784111777", -1},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t seconds = -1;

		if (http_date_parse(cases[i].text, &seconds) != (cases[i].seconds != -1))
			fail_msg("%s", cases[i].text);
		assert_int_equal(seconds, cases[i].seconds);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_every_day),
		cmocka_unit_test(test_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
