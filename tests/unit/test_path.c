/* SPDX-License-Identifier: Apache-2.0 */
/* Paths as clients give them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/path.h"

static void test_clean(void **state)
{
	static const struct {
		const char *path, *expected;
	} cases[] = {
		{"", "."},
		{".", "."},
		{"/", "/"},
		{"//", "/"},
		{"/.", "/"},
		{"/..", "/"},
		{"/../../a", "/a"},
		{"a", "a"},
		{"a/", "a"},
		{"./a//b/.", "a/b"},
		{"/a/b/../c", "/a/c"},
		{"/a/b/../../c", "/c"},
		{"/a/../..", "/"},
		{"a/..", "."},
		{"a/../b", "b"},
		{"a/b/..", "a"},
		{"..", ".."},
		{"../..", "../.."},
		{"../a/..", ".."},
		{"../a/../..", "../.."},
		{"a/../../b", "../b"},
		{"/...", "/..."},
		{"/..a/.b", "/..a/.b"},
		{"/a//", "/a"},
	};
	struct arena arena = {0};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(path_clean(&arena, cases[i].path), cases[i].expected);
	arena_clear(&arena);
}

static void test_resolve(void **state)
{
	static const struct {
		const char *path, *home, *default_dir, *expected; /* NULL: refused */
	} cases[] = {
		{"/a/../b//", "/home/u", NULL, "/a/../b//"},
		{"", "/home/u", NULL, "/home/u"},
		{"", "/home/u", "", "/home/u"},
		{"", "/home/u", "/srv/", "/srv/"},
		{"", "/home/u", "work", "/home/u/work"},
		{"", "/home/u", "~/work", "/home/u/work"},
		{"x", "/home/u", "/srv", "/home/u/x"},
		{"../x/", "/home/u", NULL, "/home/x"},
		{"~", "/home/u/", NULL, "/home/u"},
		{"~/", "/home/u", NULL, "/home/u"},
		{"~/x//y", "/home/u", NULL, "/home/u/x/y"},
		{"~other", "/home/u", NULL, NULL},
		{"~other/x", "/home/u", NULL, NULL},
		{"", "/home/u", "~other", NULL},
		{"x", "", NULL, "/x"},
		{"", "", NULL, "/"},
		{"x/~", "/", NULL, "/x/~"},
		{" ", "/home/u", NULL, "/home/u/ "},
	};
	struct arena arena = {0};
	struct user user = {.name = "u"};
	struct error err;
	char *path;
	int r;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		user.home = cases[i].home;
		r = path_resolve(cases[i].path, &user, cases[i].default_dir, &arena, &path, &err);
		assert_int_equal(r, cases[i].expected ? 0 : -1);
		if (r == 0)
			assert_string_equal(path, cases[i].expected);
		else
			assert_int_equal(err.code, ERROR_INVALID_ARGUMENT);
	}
	arena_clear(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),

		cmocka_unit_test(test_resolve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
