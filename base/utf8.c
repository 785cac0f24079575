/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

size_t utf8_char(const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;
	unsigned char low = 0x80, high = 0xbf;
	size_t length, i;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	length = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (n < length)
		return 0;
	/* RFC 3629 section 4: four first bytes narrow the range of the second. */
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (i = 2; i < length; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

bool utf8_valid(const char *p, size_t n)
{
	size_t i = 0, step;

	while (i < n) {
		uint64_t word;

		/* Eight ASCII bytes at a time: most of what passes here is ASCII. */
		while (i + 8 <= n) {
			memcpy(&word, p + i, 8);
			if (word & 0x8080808080808080u)
				break;
			i += 8;
		}
		if (i == n)
			break;
		step = utf8_char(p + i, n - i);
		if (!step)
			return false;
		i += step;
	}
	return true;
}

size_t utf8_floor(const char *p, size_t n)
{
	size_t start = n;

	/* Step back over at most three continuation bytes to the byte that began the character. */
	while (start > 0 && n - start < 3 && ((unsigned char)p[start - 1] & 0xc0) == 0x80)
		start--;
	if (start == 0 || (unsigned char)p[start - 1] < 0xc2)
		return n;
	start--;
	return utf8_char(p + start, n - start) ? n : start;
}

size_t utf8_sanitize(char *out, const char *p, size_t n)
{
	size_t i = 0, o = 0, step;

	while (i < n) {
		step = utf8_char(p + i, n - i);
		if (step) {
			memcpy(out + o, p + i, step);
			o += step;
			i += step;
		} else {
			memcpy(out + o, "\xef\xbf\xbd", 3);
			o += 3;
			i++;
		}
	}
	return o;
}
