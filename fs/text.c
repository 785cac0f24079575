/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

char *fs_path_name(const char *path, struct arena *arena)
{
	size_t end = strlen(path), start;

	while (end > 1 && path[end - 1] == '/')
		end--;
	start = end;
	while (start > 0 && path[start - 1] != '/')
		start--;
	if (start == end && start > 0)
		start--;
	return arena_strndup(arena, path + start, end - start);
}

const char *fs_text(const char *s, struct arena *arena)
{
	size_t n = strlen(s);
	char *text;

	if (utf8_valid(s, n))
		return s;
	text = arena_alloc(arena, 3 * n + 1);
	text[utf8_sanitize(text, s, n)] = '\0';
	return text;
}

enum error_code fs_errno_code(int errnum)
{
	errnum = abs(errnum);
	return errnum == ENOSPC || errnum == EDQUOT ? ERROR_RESOURCE_EXHAUSTED : ERROR_INTERNAL;
}
