/* SPDX-License-Identifier: Apache-2.0 */
/* Percent-encoding and query strings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/mem.h"
#include "rpc/http/uri.h"
#include "tests/unit/guard.h"

static void test_path(void **state)
{
	static const struct {
		const char *raw, *path;
		size_t n;
	} cases[] = {
		{"/", "/", 1},
		{"", "", 0},
		{"/a+b", "/a+b", 4},
		{"/process.Process%2FList", "/process.Process/List", 21},
		{"/%c3%A9%25", "/\xc3\xa9%", 4},
		{"/a%00b", "/a\0b", 4},
		{"/%", NULL, 0},
		{"/%4", NULL, 0},
		{"/%4g", NULL, 0},
		{"/%g4", NULL, 0},
		{"/%%41", NULL, 0},
		{"%-1", NULL, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena arena = {0};
		struct guard guard;
		const char *raw = guard_put(&guard, cases[i].raw, strlen(cases[i].raw) + 1);
		size_t n = 0;
		const char *path = uri_path_decode(&arena, raw, &n);

		assert_int_equal(path != NULL, cases[i].path != NULL);
		if (path) {
			assert_int_equal(n, cases[i].n);
			assert_memory_equal(path, cases[i].path, n + 1);
		}
		path = uri_path_decode(&arena, raw, NULL);
		assert_int_equal(path != NULL,
				 cases[i].path && strlen(cases[i].path) == cases[i].n);
		guard_clear(&guard);
		arena_clear(&arena);
	}
}

static void test_query(void **state)
{
	static const struct {
		const char *query, *name;
		unsigned count;
		const char *value;
		size_t n;
	} cases[] = {
		{NULL, "path", 0, NULL, 0},
		{"", "path", 0, NULL, 0},
		{"path=/a", "path", 1, "/a", 2},
		{"path=%2Fa+b%2b&x", "path", 1, "/a b+", 5},
		{"path", "path", 1, "", 0},
		{"path=", "path", 1, "", 0},
		{"path=a=b", "path", 1, "a=b", 3},
		{"xpath=a&pat=b&paths=c", "path", 0, NULL, 0},
		{"x=1&path=a&path=b", "path", 2, "a", 1},
		{"p%61th=a", "path", 1, "a", 1},
		{"a+b=c", "a b", 1, "c", 1},
		{"Path=a", "path", 0, NULL, 0},
		{"path=%", "path", 0, NULL, 0},
		{"path=%4&path=b", "path", 1, "b", 1},
		{"path=%zz&%=1&path%=2&path=c", "path", 1, "c", 1},
		{"path=a;b", "path", 0, NULL, 0},
		{"path=a;path=b&path=c", "path", 1, "c", 1},
		{"path;=a", "path", 0, NULL, 0},
		{"path=a%3Bb", "path", 1, "a;b", 3},
		{"path=a%26b&", "path", 1, "a&b", 3},
		{"&&path=a&&", "path", 1, "a", 1},
		{"path=a%00b", "path", 1, "a\0b", 3},
		{"path%00=a", "path", 0, NULL, 0},
		{"path=\xc3\xa9\"?/#", "path", 1, "\xc3\xa9\"?/#", 6},
		{"=a", "path", 0, NULL, 0},
		{"=a", "", 1, "a", 1},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena arena = {0};
		struct guard guard = {0};
		const char *query = cases[i].query, *value = NULL;
		size_t n = 0;

		if (query)
			query = guard_put(&guard, query, strlen(query) + 1);
		assert_int_equal(uri_query_get(&arena, query, cases[i].name, &value, &n),
				 cases[i].count);
		if (cases[i].count > 0) {
			assert_int_equal(n, cases[i].n);
			assert_memory_equal(value, cases[i].value, n + 1);
		} else {
			assert_null(value);
		}
		if (query)
			guard_clear(&guard);
		arena_clear(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_query),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
