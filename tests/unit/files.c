/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/files.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/fd.h"

void assert_file(const char *path, const char *expected)
{
	char *text;
	size_t n;

	assert_int_equal(fd_read_file(AT_FDCWD, path, 1000, &text, &n), 0);
	assert_string_equal(text, expected);
	free(text);
}
