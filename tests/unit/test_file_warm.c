/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of the pages of a file. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "rpc/http/file_warm.h"

#define MIB (1024 * 1024)

/* A file of `size` bytes that has no name, all of it a hole but for the first `written`. */
static int make_file(size_t written, off_t size)
{
	static char block[64 * 1024];
	char path[] = "/var/tmp/envd-test-XXXXXX";
	int fd = mkstemp(path);
	size_t n;

	assert_true(fd >= 0);
	unlink(path);
	memset(block, 'x', sizeof(block));
	for (; written; written -= n) {
		n = written < sizeof(block) ? written : sizeof(block);
		assert_int_equal(write(fd, block, n), n);
	}
	assert_int_equal(ftruncate(fd, size), 0);
	return fd;
}

static void test_told(void **state)
{
	FD_AUTO int fd = make_file(3 * MIB, 5 * MIB);
	static const struct {
		off_t offset;
		size_t n;
		bool warm;
	} cases[] = {
		{0, 0, true},
		{0, 1, true},
		{0, 3 * MIB, true},
		{4095, 2 * MIB, true},
		{MIB + 1, 4096, true},
		{3 * MIB - 1, 1, true},
		{3 * MIB - 1, 2, false},
		{0, 3 * MIB + 1, false},
		{3 * MIB, 1, false},
		{4 * MIB + 17, 100, false},
		{5 * MIB - 1, 4096, false},
		{9 * MIB, 1, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(file_is_warm(fd, cases[i].offset, cases[i].n), cases[i].warm);
	assert_false(file_is_warm(-1, 0, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
