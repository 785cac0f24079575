/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the part of a string that JSON's lexer and writer can copy without a check of each byte.
 */
#ifndef RPC_CODEC_JSON_SCAN_H
#define RPC_CODEC_JSON_SCAN_H

#include <stddef.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Returns the length of the prefix that is ASCII without quotes, backslashes and controls. */
static inline size_t json_plain_bytes(const char *p, size_t n)
{
	size_t i = 0;

#ifdef __SSE2__
	for (; n - i >= 16; i += 16) {
		__m128i in = _mm_loadu_si128((const void *)(p + i));
		/* A signed comparison: bytes that are not ASCII are negative, so below a space. */
		__m128i found = _mm_cmplt_epi8(in, _mm_set1_epi8(' '));
		int mask;

		found = _mm_or_si128(found, _mm_cmpeq_epi8(in, _mm_set1_epi8('"')));
		found = _mm_or_si128(found, _mm_cmpeq_epi8(in, _mm_set1_epi8('\\')));
		mask = _mm_movemask_epi8(found);
		if (mask)
			return i + (size_t)__builtin_ctz((unsigned)mask);
	}
#endif
	while (i < n && (unsigned char)p[i] >= ' ' && (unsigned char)p[i] < 0x80 && p[i] != '"' &&
	       p[i] != '\\')
		i++;
	return i;
}

#endif
