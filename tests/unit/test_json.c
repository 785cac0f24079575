/* SPDX-License-Identifier: Apache-2.0 */
/* JSON: what is one, what is not, and what the getters and the writer make of it. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "rpc/codec/json.h"
#include "tests/unit/guard.h"

/* A literal that may have NULs in it, and its length. */
#define B(literal) (literal), sizeof(literal) - 1

/* Whether the bytes, before a guard page, are a text; its error otherwise. */
static bool valid(const char *p, size_t n, struct error *err)
{
	struct json_lexer in;
	struct guard guard;
	int r;

	json_lexer_init(&in, guard_put(&guard, p, n), n);
	r = json_finish(&in, err);
	guard_clear(&guard);
	return r == 0;
}

static void test_valid(void **state)
{
	static const struct {
		const char *p;
		size_t n;
	} cases[] = {
		{B("{}")},
		{B("[]")},
		{B("null")},
		{B("true")},
		{B("false")},
		{B("0")},
		{B("-0")},
		{B("-0.0e-0")},
		{B("1E+30")},
		{B("123.456")},
		{B("\"\"")},
		{B(" \t\r\n{ \"a\" : [ 1 , 2 , { } ] , \"b\" : \"\" } \n")},
		{B("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uFfFf\"")},
		{B("\"\\ud834\\udd1e\"")},
		{B("\"\x7f\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"")},
		{B("[[[[]],[]]]")},
		{B("{\"\":{\"\":1}}")},
		{B("{\"a\":1,\"a\":2}")},
		{B("\"seventeen bytes..\xc3\xa9 and some more of them\"")},
	};
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (!valid(cases[i].p, cases[i].n, &err))
			fail_msg("%s: %s", cases[i].p, err.message);
}

static void test_invalid(void **state)
{
	static const struct {
		const char *p;
		size_t n;
	} cases[] = {
		{B("")},
		{B(" ")},
		{B("\xef\xbb\xbf{}")}, /* a byte order mark */
		{B("{")},
		{B("[")},
		{B("}")},
		{B("{]")},
		{B("[}")},
		{B("{\"a\"")},
		{B("{\"a\":")},
		{B("{\"a\":1")},
		{B("{\"a\":1,")},
		{B("{\"a\":1,}")},
		{B("{\"a\" 1}")},
		{B("{,}")},
		{B("{1:2}")},
		{B("{a:1}")},
		{B("{'a':1}")},
		{B("[1,]")},
		{B("[,1]")},
		{B("[1 2]")},
		{B("[1:2]")},
		{B("{}{}")},
		{B("{} x")},
		{B("1 2")},
		{B("{}\0")},
		{B("tru")},
		{B("True")},
		{B("nul")},
		{B("nulll")},
		{B("NaN")},
		{B("Infinity")},
		{B("+1")},
		{B("01")},
		{B("-")},
		{B("-x")},
		{B("1.")},
		{B(".5")},
		{B("1.e3")},
		{B("1e")},
		{B("1e+")},
		{B("0x10")},
		{B("\"")},
		{B("\"abc")},
		{B("\"\\")},
		{B("\"\\\"")},
		{B("\"\\x\"")},
		{B("\"\\u12\"")},
		{B("\"\\u123g\"")},
		{B("\"\\\0\"")},
		{B("\"\\ud800\"")},	   /* a high surrogate alone */
		{B("\"\\ud800\\u0041\"")}, /* before something else */
		{B("\"\\ud800\\ud800\"")},
		{B("\"\\udc00\"")}, /* a low one alone */
		{B("\"\\ud800")},
		{B("\"\\ud800\\u")},
		{B("\"\n\"")},
		{B("\"\x1f\"")},
		{B("\"\0\"")},
		{B("\"\xff\"")},
		{B("\"\xc0\x80\"")},
		{B("\"\xed\xa0\x80\"")},
		{B("\"\xc3\"")},
		{B("\"\xf0\x9f\x98")},
		{B("{\"\xff\":1}")},
		{B("/**/{}")},
		{B("{}//")},
		{B("\v{}")},
		{B("\xc2\xa0{}")},
	};
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (valid(cases[i].p, cases[i].n, &err))
			fail_msg("%s is taken", cases[i].p);
		assert_int_equal(err.code, ERROR_INVALID_ARGUMENT);
	}
}

/* Every prefix of a text is an error, but for those that lack white space alone. */
static void test_prefixes(void **state)
{
	static const char text[] =
		"{\"a\":[1.5e3,true,null,\"x\\u00e9\xc3\xa9\\ud834\\udd1e\"],\"b\":{}}";
	struct error err;

	for (size_t n = 0; n < sizeof(text) - 1; n++)
		assert_false(valid(text, n, &err));
	assert_true(valid(text, sizeof(text) - 1, &err));
}

static void test_depth(void **state)
{
	char *text = mem_alloc(2 * (JSON_MAX_DEPTH + 1));
	struct error err;

	memset(text, '[', JSON_MAX_DEPTH);
	memset(text + JSON_MAX_DEPTH, ']', JSON_MAX_DEPTH);
	assert_true(valid(text, (size_t)2 * JSON_MAX_DEPTH, &err));

	memset(text, '[', JSON_MAX_DEPTH + 1);
	memset(text + JSON_MAX_DEPTH + 1, ']', JSON_MAX_DEPTH + 1);
	assert_false(valid(text, (size_t)2 * (JSON_MAX_DEPTH + 1), &err));
	assert_non_null(strstr(err.message, "nested"));
	free(text);
}

static void test_strings(void **state)
{
	static const struct {
		const char *text, *decoded;
		size_t n;
	} cases[] = {
		{"\"\"", B("")},
		{"\"plain\"", B("plain")},
		{"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", B("\"\\/\b\f\n\r\t")},
		{"\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"",
		 B("A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80")},
		{"\"a\\u0000b\"", B("a\0b")},
		{"\"\\uFFFF\\uffff\"", B("\xef\xbf\xbf\xef\xbf\xbf")},
		{"\"x\\n\xc3\xa9\\ny\"", B("x\n\xc3\xa9\ny")},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena arena = {0};
		struct json_lexer in;
		size_t n;
		char *s;

		json_lexer_init(&in, cases[i].text, strlen(cases[i].text));
		json_next(&in);
		assert_int_equal(json_get_string(&in, &arena, &s, &n), 0);
		assert_int_equal(n, cases[i].n);
		assert_memory_equal(s, cases[i].decoded, n + 1);
		arena_clear(&arena);
	}
}

static void test_integers(void **state)
{
	static const struct {
		const char *text;
		int r; /* as int64, and as uint64 */
		int64_t value;
		int r_unsigned;
		uint64_t value_unsigned;
	} cases[] = {
		{"0", 0, 0, 0, 0},
		{"-0", 0, 0, 0, 0},
		{"-0.0", 0, 0, 0, 0},
		{"42", 0, 42, 0, 42},
		{"-42", 0, -42, -ERANGE, 0},
		{"1e3", 0, 1000, 0, 1000},
		{"1.5e1", 0, 15, 0, 15},
		{"1.50e1", 0, 15, 0, 15},
		{"1200e-2", 0, 12, 0, 12},
		{"0.000e999999999999", 0, 0, 0, 0},
		{"0.0012e4", 0, 12, 0, 12},
		{"9223372036854775807", 0, INT64_MAX, 0, INT64_MAX},
		{"9223372036854775808", -ERANGE, 0, 0, (uint64_t)INT64_MAX + 1},
		{"-9223372036854775808", 0, INT64_MIN, -ERANGE, 0},
		{"-9223372036854775809", -ERANGE, 0, -ERANGE, 0},
		{"18446744073709551615", -ERANGE, 0, 0, UINT64_MAX},
		{"18446744073709551616", -ERANGE, 0, -ERANGE, 0},
		{"1e19", -ERANGE, 0, 0, 10000000000000000000u},
		{"1e20", -ERANGE, 0, -ERANGE, 0},
		{"1e99999999999999999999", -ERANGE, 0, -ERANGE, 0},
		{"1e-99999999999999999999", -EINVAL, 0, -EINVAL, 0},
		{"0.5", -EINVAL, 0, -EINVAL, 0},
		{"1.5", -EINVAL, 0, -EINVAL, 0},
		{"15e-1", -EINVAL, 0, -EINVAL, 0},
		{"123456789012345678901234567890e-20", -EINVAL, 0, -EINVAL, 0},
		{"100000000000000000000000000000e-20", 0, 1000000000, 0, 1000000000},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t n = strlen(cases[i].text);
		struct guard guard;
		const char *p = guard_put(&guard, cases[i].text, n);
		int64_t value = 0;
		uint64_t value_unsigned = 0;
		int r = json_number_int64(p, n, &value);
		int r_unsigned = json_number_uint64(p, n, &value_unsigned);

		if (r != cases[i].r || r_unsigned != cases[i].r_unsigned ||
		    (r == 0 && value != cases[i].value) ||
		    (r_unsigned == 0 && value_unsigned != cases[i].value_unsigned))
			fail_msg("%s", cases[i].text);
		guard_clear(&guard);
	}
}

/* A handler's body, as json.h shows one. */
static int read_body(const char *text, struct arena *arena, char **ret, struct error *err)
{
	struct json_lexer in;
	struct guard guard;
	size_t n = strlen(text);
	char *name = NULL, *list = arena_strdup(arena, "");
	int64_t number = 0;
	int r;

	json_lexer_init(&in, guard_put(&guard, text, n), n);
	if (json_open_object(&in))
		while (json_next_field(&in)) {
			char *s;

			if (json_name_is(&in, "name"))
				json_get_string(&in, arena, &name, NULL);
			else if (json_name_is_nocase(&in, "number"))
				json_get_int64(&in, &number);
			else if (json_name_is(&in, "list") && json_open_array(&in))
				while (json_next_element(&in)) {
					if (json_get_string(&in, arena, &s, NULL) == 0)
						list = arena_printf(arena, "%s<%s>", list, s);
				}
			else
				json_skip(&in);
		}
	r = json_finish(&in, err);
	guard_clear(&guard);
	*ret = arena_printf(arena, "%s %lld %s", name ? name : "-", (long long)number, list);
	return r;
}

static void test_reading(void **state)
{
	static const struct {
		const char *text, *expected; /* values, or a part of the error */
		int r;
	} cases[] = {
		{"{}", "- 0 ", 0},
		{"{\"name\":\"x\",\"number\":7,\"list\":[\"a\",\"b\"]"
		 "}",
		 "x 7 <a><b>", 0},
		{"{\"\\u006eame\":\"x\",\"NuMbEr\":1e2}", "x 100 ", 0},
		{"{\"other\":{\"name\":\"y\",\"list\":[[{}]]},\"name\":\"x\"}", "x 0 ", 0},
		{"{\"list\":[]}", "- 0 ", 0},
		{"[]", "an object was expected", -1},
		{"null", "an object was expected", -1},
		{"", "unexpected end", -1},
		{"{\"name\":1}", "field \"name\": a string was expected", -1},
		{"{\"name\":\"a\\u0000\"}", "field \"name\": a NUL in a string", -1},
		{"{\"number\":1.5}", "field \"number\": a whole number was expected", -1},
		{"{\"number\":\"1\"}", "field \"number\": a whole number was expected", -1},
		{"{\"number\":1e30}", "field \"number\": number out of range", -1},
		{"{\"list\":{}}", "field \"list\": an array was expected", -1},
		{"{\"list\":[1]}", "field \"list\": a string was expected", -1},
		{"{\"name\":\"x\"} x", "something follows", -1},
		{"{\"name\":\"x\",}", "a name was expected", -1},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena arena = {0};
		struct error err = {0};
		char *got;
		int r = read_body(cases[i].text, &arena, &got, &err);

		if (r != cases[i].r || (r == 0 && strcmp(got, cases[i].expected) != 0) ||
		    (r < 0 && !strstr(err.message, cases[i].expected)))
			fail_msg("%s: %d, %s, %s", cases[i].text, r, got, err.message);
		arena_clear(&arena);
	}
}

static void test_writing(void **state)
{
	struct json_writer out;
	char *text;
	size_t n;

	json_writer_init(&out, 3, 0);
	json_put_object(&out);
	json_put_name(&out, "s");
	json_put_string(&out, "\"\\\b\f\n\r\t\x01\x1f\x7f/<>&'\xc3\xa9");
	json_put_name(&out, "a\"");
	json_put_array(&out);
	json_put_array(&out);
	json_put_array_end(&out);
	json_put_object(&out);
	json_put_object_end(&out);
	json_put_int(&out, INT64_MIN);
	json_put_uint(&out, UINT64_MAX);
	json_put_bool(&out, true);
	json_put_bool(&out, false);
	json_put_null(&out);
	json_put_base64(&out, "\xff", 1);
	json_put_raw(&out, "{\"raw\":1}", 9);
	json_put_string_bytes(&out, B("\0[\xff\xc3,"));
	json_put_string(&out, "");
	json_put_array_end(&out);
	json_put_name(&out, "");
	json_put_string(&out, ":");
	json_put_object_end(&out);
	text = json_writer_take(&out, &n);

	static const char expected[] =
		"{\"s\":\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\x7f/<>&'\xc3\xa9\","
		"\"a\\\"\":[[],{},-9223372036854775808,18446744073709551615,true,false,null,"
		"\"/w==\",{\"raw\":1},\"\\u0000[\xef\xbf\xbd\xef\xbf\xbd,\",\"\"],\"\":\":\"}";
	assert_int_equal(n, sizeof(expected) - 1);
	assert_memory_equal(text + 3, expected, n);
	free(text);
	json_writer_clear(&out);
}

static void test_floats(void **state)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = {
		{0, "0"},
		{-0.0, "-0"},
		{1, "1"},
		{-1.5, "-1.5"},
		{0.1, "0.1"},
		{0.001, "0.001"},
		{0.000001, "0.000001"},
		{0.00000012, "1.2e-7"},
		{123456.789, "123456.789"},
		{1e20, "100000000000000000000"},
		{1e21, "1e+21"},
		{1.7976931348623157e308, "1.7976931348623157e+308"},
		{5e-324, "5e-324"},
		{2.0 / 3, "0.6666666666666666"},
		{9007199254740993.0, "9007199254740992"},
		{(double)INFINITY, "\"Infinity\""},
		{-(double)INFINITY, "\"-Infinity\""},
		{(double)NAN, "\"NaN\""},
	};
	struct json_writer out;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_writer_init(&out, 0, 0);
		json_put_double(&out, cases[i].value);
		assert_int_equal(out.n, strlen(cases[i].text));
		assert_memory_equal(out.data, cases[i].text, out.n);
		json_writer_clear(&out);
	}
	json_writer_init(&out, 0, 0);
	json_put_array(&out);
	json_put_float(&out, 0.1f);
	json_put_float(&out, 16777216.0f);
	json_put_float(&out, 3.4028235e38f);
	assert_memory_equal(out.data, "[0.1,16777216,3.4028235e+38", out.n);
	json_writer_clear(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),	 cmocka_unit_test(test_invalid),
		cmocka_unit_test(test_prefixes), cmocka_unit_test(test_depth),
		cmocka_unit_test(test_strings),	 cmocka_unit_test(test_integers),
		cmocka_unit_test(test_reading),	 cmocka_unit_test(test_writing),
		cmocka_unit_test(test_floats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
