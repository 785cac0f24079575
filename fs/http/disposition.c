/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/http/disposition.h"

#include <stdbool.h>
#include <string.h>

/* The separators of RFC 2045, which a token can't contain. */
static bool is_special(char c)
{
	return c && strchr("()<>@,;:\\\"/[]?=", c);
}

static bool is_token_char(char c)
{
	return c > ' ' && c < 0x7f && !is_special(c);
}

static bool all_match(const char *s, bool (*match)(char c))
{
	for (; *s; s++)
		if (!match(*s))
			return false;
	return true;
}

static bool is_quotable_char(char c)
{
	return (c >= ' ' && c < 0x7f) || c == '\t';
}

/* RFC 2231 section 7 (attribute-char). */
static bool is_plain_char(char c)
{
	return is_token_char(c) && c != '*' && c != '\'' && c != '%';
}

char *fs_disposition_format(const char *name, struct arena *arena)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = strlen(name);
	char *text, *out;

	if (n && all_match(name, is_token_char))
		return arena_printf(arena, "inline; filename=%s", name);
	out = text = arena_alloc(arena, 32 + 3 * n);
	if (all_match(name, is_quotable_char)) {
		out = stpcpy(out, "inline; filename=\"");
		for (; *name; name++) {
			if (*name == '"' || *name == '\\')
				*out++ = '\\';
			*out++ = *name;
		}
		*out++ = '"';
	} else {
		out = stpcpy(out, "inline; filename*=utf-8''");
		for (; *name; name++) {
			if (is_plain_char(*name)) {
				*out++ = *name;
				continue;
			}
			*out++ = '%';
			*out++ = hex[(unsigned char)*name >> 4];
			*out++ = hex[*name & 15];
		}
	}
	*out = '\0';
	return text;
}
