/* SPDX-License-Identifier: Apache-2.0 */
/* Lists, weights, parameters, credentials. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/mem.h"
#include "rpc/http/header_value.h"
#include "tests/unit/guard.h"

/* A string before a guard page. */
static const char *guarded(struct guard *guard, const char *text)
{
	return guard_put(guard, text, strlen(text) + 1);
}

static void test_list(void **state)
{
	static const struct {
		const char *list, *member;
		bool has;
	} cases[] = {
		{"close", "close", true},     {"Close", "close", true},
		{"a,close", "close", true},   {" a ,\tclose\t, b", "close", true},
		{",,close,,", "close", true}, {"", "close", false},
		{",", "close", false},	      {"closed", "close", false},
		{"clos", "close", false},     {"a close", "close", false},
		{"close;x", "close", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct guard guard;
		const char *list = guarded(&guard, cases[i].list);

		assert_int_equal(header_list_has(list, cases[i].member), cases[i].has);
		guard_clear(&guard);
	}
}

static void test_accept_encoding(void **state)
{
	static const struct {
		const char *value;
		enum header_coding coding;
	} cases[] = {
		{"", HEADER_CODING_IDENTITY},
		{"gzip", HEADER_CODING_GZIP},
		{"GZIP", HEADER_CODING_GZIP},
		{"gzip, deflate", HEADER_CODING_GZIP},
		{"deflate, gzip, br", HEADER_CODING_GZIP},
		{"br", HEADER_CODING_IDENTITY},
		{"*", HEADER_CODING_IDENTITY},
		{"x-gzip", HEADER_CODING_IDENTITY},
		{"identity", HEADER_CODING_IDENTITY},
		{"identity, gzip", HEADER_CODING_IDENTITY},
		{"gzip, identity", HEADER_CODING_GZIP},
		{"gzip;q=0.5, identity", HEADER_CODING_IDENTITY},
		{"identity;q=0.5, gzip;q=0.50001", HEADER_CODING_GZIP},
		{"identity;q=0.5, gzip;q=0.5", HEADER_CODING_IDENTITY},
		{"gzip;q=0", HEADER_CODING_IDENTITY},
		{"gzip;q=0.0000000001", HEADER_CODING_GZIP},
		{"gzip;q=0.000", HEADER_CODING_IDENTITY},
		{"gzip;q=", HEADER_CODING_GZIP},
		{"gzip;q=x", HEADER_CODING_GZIP},
		{"gzip;q=.", HEADER_CODING_GZIP},
		{"gzip;q=0.0.0", HEADER_CODING_GZIP},
		{"gzip;q=x, identity", HEADER_CODING_GZIP},
		{"identity, gzip;q=2", HEADER_CODING_GZIP},
		{"identity;q=99999999999, gzip;q=2", HEADER_CODING_IDENTITY},
		{"gzip;Q=0 ;x=y", HEADER_CODING_IDENTITY},
		{"gzip ; x=y; q=0", HEADER_CODING_IDENTITY},
		{"gzip;q", HEADER_CODING_GZIP},
		{"identity;q=0", HEADER_CODING_NONE},
		{"*;q=0", HEADER_CODING_NONE},
		{"br, *;q=0", HEADER_CODING_NONE},
		{"identity;q=0, br", HEADER_CODING_NONE},
		{"identity;q=0, *", HEADER_CODING_GZIP},
		{"identity;q=0, gzip;q=0.1", HEADER_CODING_GZIP},
		{"identity;q=0.1, *;q=0", HEADER_CODING_IDENTITY},
		{"*;q=0, gzip", HEADER_CODING_GZIP},
		{"identity;q=0, gzip;q=0", HEADER_CODING_NONE},
		{",;,;q=1,", HEADER_CODING_IDENTITY},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct guard guard;
		const char *value = guarded(&guard, cases[i].value);

		if (header_accept_encoding(value) != cases[i].coding)
			fail_msg("%s: %d", value, header_accept_encoding(value));
		guard_clear(&guard);
	}
	assert_int_equal(header_accept_encoding(NULL), HEADER_CODING_IDENTITY);
}

static void test_content_encoding(void **state)
{
	assert_int_equal(header_content_encoding(NULL), HEADER_CODING_IDENTITY);
	assert_int_equal(header_content_encoding(""), HEADER_CODING_IDENTITY);
	assert_int_equal(header_content_encoding("Identity"), HEADER_CODING_IDENTITY);
	assert_int_equal(header_content_encoding("gzip"), HEADER_CODING_GZIP);
	assert_int_equal(header_content_encoding(" GZip ;q=0"), HEADER_CODING_GZIP);
	assert_int_equal(header_content_encoding("gzip, gzip"), HEADER_CODING_NONE);
	assert_int_equal(header_content_encoding("br"), HEADER_CODING_NONE);
	assert_int_equal(header_content_encoding(";"), HEADER_CODING_NONE);
}

static void test_params(void **state)
{
	static const struct {
		const char *value;
		int result;
		const char *type;
		const char *name, *param; /* one to look up */
	} cases[] = {
		{"text/plain", 0, "text/plain", "charset", NULL},
		{" Text/HTML\t;  Charset = UTF-8 ", 0, "text/html", "charset", "UTF-8"},
		{"form-data; name=\"file\"; filename=x", 0, "form-data", "name", "file"},
		{"form-data; filename={x}; name=file", 0, "form-data", "filename", "{x}"},
		{"a/b;", 0, "a/b", "x", NULL},
		{"a/b; x=1;", 0, "a/b", "x", "1"},
		{"a/b; x=\"\"", 0, "a/b", "x", ""},
		{"a/b; x=\"a;b, \\\"c\\\"\\\\\"; y=2", 0, "a/b", "x", "a;b, \"c\"\\"},
		{"a/b; x=\"a;b, \\\"c\\\"\\\\\"; y=2", 0, "a/b", "y", "2"},
		{"a/b; x=\"C:\\dir\\file\"", 0, "a/b", "x", "C:\\dir\\file"},
		{"a/b; x=\"%22\xc3\xa9\"", 0, "a/b", "x", "%22\xc3\xa9"},
		{"a/b; x=1; X=1", 0, "a/b", "x", "1"},
		{"a/b; x=1; x=2", -EINVAL, NULL, "x", NULL},
		{"", -EINVAL, NULL, "x", NULL},
		{";x=1", -EINVAL, NULL, "x", NULL},
		{"a/", -EINVAL, NULL, "x", NULL},
		{"/b", -EINVAL, NULL, "x", NULL},
		{"a/b/c", -EINVAL, NULL, "x", NULL},
		{"a b", -EINVAL, NULL, "x", NULL},
		{"a/b c; x=1", -EINVAL, NULL, "x", NULL},
		{"a/b, c/d", -EINVAL, NULL, "x", NULL},
		{"a/b; x", -EINVAL, "a/b", "x", NULL},
		{"a/b; x=", -EINVAL, "a/b", "x", NULL},
		{"a/b; =1", -EINVAL, "a/b", "x", NULL},
		{"a/b; x=1 y=2", -EINVAL, "a/b", "x", NULL},
		{"a/b;; x=1", -EINVAL, "a/b", "x", NULL},
		{"a/b; x=\"1", -EINVAL, "a/b", "x", NULL},
		{"a/b; x=\"1\\\"", -EINVAL, "a/b", "x", NULL},
		{"a/b; x=\"1\\", -EINVAL, "a/b", "x", NULL},
		{"a/b; x=(1)", -EINVAL, "a/b", "x", NULL},
		{"f; filename*=utf-8''%e2%82%ac%20rates", 0, "f", "filename", "\xe2\x82\xac rates"},
		{"f; filename=a; filename*=UTF-8'en'b", 0, "f", "filename", "b"},
		{"f; filename*=utf-8''b; filename=a", 0, "f", "filename", "b"},
		{"f; filename=a; filename*=latin1''b", 0, "f", "filename", "a"},
		{"f; filename=a; filename*=b", 0, "f", "filename", "a"},
		{"f; filename=a; filename*=utf-8''%4", 0, "f", "filename", "a"},
		{"f; filename*=utf-8''", 0, "f", "filename", ""},
		{"f; n*0=a; n*1=b; n*3=d", 0, "f", "n", "ab"},
		{"f; n*1*=%20b; n*0*=us-ascii''a; n*2=%20", 0, "f", "n", "a b%20"},
		{"f; n*1=b; n=c", 0, "f", "n", "c"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena arena = {0};
		struct guard guard;
		struct header_params params;
		const char *value;
		size_t n;
		int r = header_params_parse(&arena, guarded(&guard, cases[i].value), &params);

		guard_clear(&guard);
		if (r != cases[i].result || !params.type != !cases[i].type)
			fail_msg("%s: %d", cases[i].value, r);
		if (cases[i].type)
			assert_string_equal(params.type, cases[i].type);
		value = header_param_get(&arena, &params, cases[i].name, &n);
		assert_int_equal(value != NULL, cases[i].param != NULL);
		if (value) {
			assert_string_equal(value, cases[i].param);
			assert_int_equal(n, strlen(value));
		}
		arena_clear(&arena);
	}
}

static void test_params_nul(void **state)
{
	struct arena arena = {0};
	struct header_params params;
	size_t n = 0;

	assert_int_equal(header_params_parse(&arena, "f; n*=utf-8''a%00b", &params), 0);
	assert_memory_equal(header_param_get(&arena, &params, "n", &n), "a\0b", 4);
	assert_int_equal(n, 3);
	arena_clear(&arena);
}

static void test_params_limit(void **state)
{
	for (int extra = 0; extra < 2; extra++) {
		struct arena arena = {0};
		struct header_params params;
		char value[1024] = "a/b", *end = value + 3;
		size_t n;

		for (int i = 0; i < HEADER_MAX_PARAMS + extra; i++)
			end += sprintf(end, "; x%d=y", i);
		assert_int_equal(header_params_parse(&arena, value, &params), extra ? -EINVAL : 0);
		assert_int_equal(header_param_get(&arena, &params, "x31", &n) != NULL, !extra);
		arena_clear(&arena);
	}
}

static void test_basic_user(void **state)
{
	static const struct {
		const char *value, *user;
	} cases[] = {
		{"Basic dXNlcjo=", "user"},
		{"basic dXNlcjo=", "user"},
		{"Basic dXNlcjpwYXNz", "user"},
		{"Basic dTpzOmVy", "u"},
		{"Basic Og==", ""},
		{"Basic w6k6", "\xc3\xa9"},
		{"Basic cm9vdAB4Og==", ""}, /* root\0x: */
		{"Basic Onh5AA==", ""},	    /* a NUL in the password */
		{"Basic dXNlcg==", NULL},   /* no colon */
		{"Basic dXNlcjo", NULL},    /* no padding */
		{"Basic w6k_", NULL},	    /* URL-safe */
		{"Basic  dXNlcjo=", NULL},
		{"Basic dXNlcjo= ", NULL},
		{"Basic dXN*cjo=", NULL},
		{"Basic ", NULL},
		{"Basic", NULL},
		{"Bearer dXNlcjo=", NULL},
		{"", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena arena = {0};
		struct guard guard;
		const char *user = header_basic_user(&arena, guarded(&guard, cases[i].value));

		guard_clear(&guard);
		if (!user != !cases[i].user)
			fail_msg("%s", cases[i].value);
		if (user)
			assert_string_equal(user, cases[i].user);
		arena_clear(&arena);
	}
	assert_null(header_basic_user(NULL, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_accept_encoding),
		cmocka_unit_test(test_content_encoding),
		cmocka_unit_test(test_params),
		cmocka_unit_test(test_params_nul),
		cmocka_unit_test(test_params_limit),
		cmocka_unit_test(test_basic_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
