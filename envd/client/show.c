/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/client/show.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

/* Characters above ASCII that a terminal obeys, hides or reorders (Unicode, category Cf). */
static const struct {
	uint32_t first, last;
} hidden[] = {
	{0x80, 0x9f},	  {0xad, 0xad},	    {0x61c, 0x61c},   {0x180e, 0x180e}, {0x200b, 0x200f},
	{0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f},
};

/* The code point of a well-formed character of n bytes. */
static uint32_t code_point(const char *p, size_t n)
{
	uint32_t c = (unsigned char)*p & (n == 1 ? 0x7fu : 0xffu >> (n + 1));

	for (size_t i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)p[i] & 0x3fu);
	return c;
}

static bool is_hidden(uint32_t c)
{
	if (c < ' ' || c == 0x7f)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
		if (c >= hidden[i].first && c <= hidden[i].last)
			return true;
	return false;
}

/* Writes a character of n bytes that show_bytes escapes; n is 1 for a byte that is not UTF-8. */
static void show_escaped(FILE *to, const char *p, size_t n)
{
	if (*p == '\n' || *p == '\t' || *p == '\\') {
		fprintf(to, "\\%c", *p == '\n' ? 'n' : *p == '\t' ? 't' : '\\');
		return;
	}
	for (size_t i = 0; i < n; i++)
		fprintf(to, "\\x%02x", (unsigned char)p[i]);
}

void show_bytes(FILE *to, const char *p, size_t n)
{
	while (n) {
		size_t bytes = utf8_char(p, n);

		if (bytes && *p != '\\' && !is_hidden(code_point(p, bytes)))
			fwrite(p, 1, bytes, to);
		else
			show_escaped(to, p, bytes ? bytes : 1);
		p += bytes ? bytes : 1;
		n -= bytes ? bytes : 1;
	}
}

void show_text(FILE *to, const char *text)
{
	show_bytes(to, text, strlen(text));
}

void show_json(FILE *to, const char *p, size_t n)
{
	while (n) {
		size_t bytes = utf8_char(p, n);
		uint32_t c = bytes ? code_point(p, bytes) : 0xfffd;

		if (bytes && !is_hidden(c))
			fwrite(p, 1, bytes, to);
		else if (c < 0x10000) /* also a byte that is not UTF-8: U+FFFD */
			fprintf(to, "\\u%04x", c);
		else
			fprintf(to, "\\u%04x\\u%04x", 0xd7c0 + (c >> 10), 0xdc00 + (c & 0x3ff));
		p += bytes ? bytes : 1;
		n -= bytes ? bytes : 1;
	}
}
