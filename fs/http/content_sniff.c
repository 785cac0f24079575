/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Detects the type of a file by its first bytes: https://mimesniff.spec.whatwg.org, as Go's
 * net/http.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "fs/http/content_type.h"

#define TEXT "text/plain; charset=utf-8"
#define HTML "text/html; charset=utf-8"

/* Section 3: white space, and bytes that do not occur in text. */
static bool is_blank(unsigned char c)
{
	return c == '\t' || c == '\n' || c == '\f' || c == '\r' || c == ' ';
}

static bool is_binary(unsigned char c)
{
	return c <= 0x08 || c == 0x0b || (c >= 0x0e && c <= 0x1a) || (c >= 0x1c && c <= 0x1f);
}

/* Tags in any case, followed by a blank or '>'. White space before a tag is ignored. */
static const char *const html_tags[] = {
	"<!DOCTYPE HTML", "<HTML", "<HEAD",  "<SCRIPT", "<IFRAME", "<H1",   "<DIV", "<FONT",
	"<TABLE",	  "<A",	   "<STYLE", "<TITLE",	"<B",	   "<BODY", "<BR",  "<P",
	"<!--",
};

/*
 * Signatures, in the order in which they are tried: `pattern` at the beginning, and `second` at the
 * offset `second_at` unless it is NULL.
 */
static const struct signature {
	const char *pattern;
	unsigned char bytes;
	unsigned char second_at;
	unsigned char second_bytes;
	const char *second;
	const char *type;
} signatures[] = {
#define AT_START(p, type)                                                                          \
	{                                                                                          \
		p, sizeof(p) - 1, 0, 0, NULL, type                                                 \
	}
#define TWO_PARTS(p, at, q, type)                                                                  \
	{                                                                                          \
		p, sizeof(p) - 1, at, sizeof(q) - 1, q, type                                       \
	}
	AT_START("%PDF-", "application/pdf"),
	AT_START("%!PS-Adobe-", "application/postscript"),
	{"\xfe\xff", 2, 4, 0, "", "text/plain; charset=utf-16be"},
	{"\xff\xfe", 2, 4, 0, "", "text/plain; charset=utf-16le"},
	{"\xef\xbb\xbf", 3, 4, 0, "", TEXT},
	AT_START("\0\0\1\0", "image/x-icon"),
	AT_START("\0\0\2\0", "image/x-icon"),
	AT_START("BM", "image/bmp"),
	AT_START("GIF87a", "image/gif"),
	AT_START("GIF89a", "image/gif"),
	TWO_PARTS("RIFF", 8, "WEBPVP", "image/webp"),
	AT_START("\x89PNG\r\n\x1a\n", "image/png"),
	AT_START("\xff\xd8\xff", "image/jpeg"),
	TWO_PARTS("FORM", 8, "AIFF", "audio/aiff"),
	AT_START("ID3", "audio/mpeg"),
	AT_START("OggS\0", "application/ogg"),
	AT_START("MThd\0\0\0\6", "audio/midi"),
	TWO_PARTS("RIFF", 8, "AVI ", "video/avi"),
	TWO_PARTS("RIFF", 8, "WAVE", "audio/wave"),
};

static const struct signature later_signatures[] = {
	AT_START("\x1a\x45\xdf\xa3", "video/webm"),
	TWO_PARTS("", 34, "LP", "application/vnd.ms-fontobject"),
	AT_START("\0\1\0\0", "font/ttf"),
	AT_START("OTTO", "font/otf"),
	AT_START("ttcf", "font/collection"),
	AT_START("wOFF", "font/woff"),
	AT_START("wOF2", "font/woff2"),
	AT_START("\x1f\x8b\x08", "application/x-gzip"),
	AT_START("PK\3\4", "application/zip"),
	AT_START("Rar!\x1a\7\0", "application/x-rar-compressed"),
	AT_START("Rar!\x1a\7\1\0", "application/x-rar-compressed"),
	AT_START("\0asm", "application/wasm"),
};

static const char *match_signatures(const struct signature *s, size_t count, const char *p,
				    size_t n)
{
	for (; count; s++, count--) {
		if (n < s->bytes || memcmp(p, s->pattern, s->bytes) != 0)
			continue;
		if (!s->second || (n >= (size_t)s->second_at + s->second_bytes &&
				   memcmp(p + s->second_at, s->second, s->second_bytes) == 0))
			return s->type;
	}
	return NULL;
}

static bool match_html(const char *p, size_t n)
{
	size_t i, length;

	for (i = 0; i < ARRAY_LEN(html_tags); i++) {
		length = strlen(html_tags[i]);
		if (n > length && strncasecmp(p, html_tags[i], length) == 0 &&
		    (p[length] == ' ' || p[length] == '>'))
			return true;
	}
	return false;
}

/* Section 6.2.1: a box "ftyp" with a brand that begins with "mp4". */
static bool match_mp4(const char *p, size_t n)
{
	const unsigned char *u = (const unsigned char *)p;
	size_t box, at;

	if (n < 12)
		return false;
	box = (size_t)u[0] << 24 | (size_t)u[1] << 16 | (size_t)u[2] << 8 | u[3];
	if (n < box || box % 4 || memcmp(p + 4, "ftyp", 4) != 0)
		return false;
	for (at = 8; at + 3 <= box; at += 4)
		if (at != 12 && memcmp(p + at, "mp4", 3) == 0)
			return true;
	return false;
}

const char *fs_type_by_content(const void *data, size_t n)
{
	const char *p = data, *type;
	size_t blanks = 0, i;

	if (n > FS_SNIFF_BYTES)
		n = FS_SNIFF_BYTES;
	while (blanks < n && is_blank((unsigned char)p[blanks]))
		blanks++;
	if (match_html(p + blanks, n - blanks))
		return HTML;
	if (n - blanks >= 5 && memcmp(p + blanks, "<?xml", 5) == 0)
		return "text/xml; charset=utf-8";
	type = match_signatures(signatures, ARRAY_LEN(signatures), p, n);
	if (!type && match_mp4(p, n))
		return "video/mp4";
	if (!type)
		type = match_signatures(later_signatures, ARRAY_LEN(later_signatures), p, n);
	if (type)
		return type;
	for (i = blanks; i < n; i++)
		if (is_binary((unsigned char)p[i]))
			return "application/octet-stream";
	return TEXT;
}
