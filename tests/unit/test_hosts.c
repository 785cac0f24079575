/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/hosts, rewritten: comments and order stay, and nothing else is touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/mem.h"
#include "envd/control/hosts.h"

#define NAME "events.e2b.local"

static void test_rewrite(void **state)
{
	static const struct {
		const char *what, *before, *address, *after; /* NULL: nothing is to be done */
	} cases[] = {
		{"empty file", "", "10.0.0.1", "10.0.0.1 " NAME "\n"},
		{"no newline at the end", "127.0.0.1 localhost", "10.0.0.1",
		 "127.0.0.1 localhost\n10.0.0.1 " NAME "\n"},
		{"there already", "10.0.0.1 " NAME "\n", "10.0.0.1", NULL},
		{"older address alone on its line", "# c\n10.0.0.9 " NAME "\n::1 l\n", "10.0.0.1",
		 "# c\n::1 l\n10.0.0.1 " NAME "\n"},
		{"older address with other names", "10.0.0.9 a " NAME " b # c\n", "10.0.0.1",
		 "10.0.0.9 a b # c\n10.0.0.1 " NAME "\n"},
		{"the other family keeps it", "fd00::1 " NAME "\n", "10.0.0.1",
		 "fd00::1 " NAME "\n10.0.0.1 " NAME "\n"},
		{"appended to the address's line", "10.0.0.1 gate # the gate\n", "10.0.0.1",
		 "10.0.0.1 gate " NAME " # the gate\n"},
		{"a comment that names it", "# " NAME "\n", "10.0.0.1",
		 "# " NAME "\n10.0.0.1 " NAME "\n"},
		{"another name that begins so", "10.0.0.9 " NAME ".x\n", "10.0.0.1",
		 "10.0.0.9 " NAME ".x\n10.0.0.1 " NAME "\n"},
		{"IPv6", "", "fd00::2", "fd00::2 " NAME "\n"},
		{"tabs and empty lines stay", "\n\t10.1.1.1\tx\ty\n\n", "10.0.0.1",
		 "\n\t10.1.1.1\tx\ty\n\n10.0.0.1 " NAME "\n"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *text = NULL;
		size_t n = 0;
		int r = hosts_rewrite(cases[i].before, strlen(cases[i].before), cases[i].address,
				      NAME, &text, &n);

		if (r != (cases[i].after ? 0 : 1) ||
		    (cases[i].after && strcmp(text, cases[i].after) != 0))
			fail_msg("%s: %d, '%s'", cases[i].what, r, text ? text : "");
		free(text);
	}
}

static void test_bad_address(void **state)
{
	char *text;
	size_t n;

	assert_int_equal(hosts_rewrite("", 0, "10.0.0", NAME, &text, &n), -22);
	assert_int_equal(hosts_rewrite("", 0, "host", NAME, &text, &n), -22);
	assert_int_equal(hosts_rewrite("", 0, "10.0.0.1\n6.6.6.6 bank", NAME, &text, &n), -22);
}

/* The file keeps its mode, and no temporary one is left beside it. */
static void test_set(void **state)
{
	char directory[] = "/tmp/envd-hosts-XXXXXX", path[64], *text;
	struct stat st;
	FILE *f;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/hosts", directory);
	f = fopen(path, "w");
	fputs("127.0.0.1 localhost\n", f);
	fclose(f);
	chmod(path, 0640);
	assert_int_equal(hosts_set(path, "10.0.0.1", NAME), 0);
	assert_int_equal(fd_read_file(-1, path, 4096, &text, NULL), 0);
	assert_string_equal(text, "127.0.0.1 localhost\n10.0.0.1 " NAME "\n");
	free(text);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	unlink(path);
	assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rewrite),
		cmocka_unit_test(test_bad_address),
		cmocka_unit_test(test_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
