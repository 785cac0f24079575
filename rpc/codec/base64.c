/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/codec/base64.h"

#include <errno.h>
#include <stdint.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/*
 * The value of each character in the low six bits; above them which alphabet it belongs to. What
 * is in no alphabet belongs to both, so that one test at the end finds it and their mixture.
 */
#define STANDARD 0x40
#define URL_SAFE 0x80
#define BAD	 (STANDARD | URL_SAFE)

/* clang-format off */
#define S STANDARD
#define U URL_SAFE
#define X BAD
static const uint8_t values[128] = {
	X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
	X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
	X, X, X, X, X, X, X, X, X, X, X, 62 | S, X, 62 | U, X, 63 | S,
	52, 53, 54, 55, 56, 57, 58, 59, 60, 61, X, X, X, X, X, X,
	X, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
	15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, X, X, X, X, 63 | U,
	X, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
	41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, X, X, X, X, X,
};
#undef S
#undef U
#undef X
/* clang-format on */

static uint8_t value_of(char c)
{
	return (uint8_t)c < sizeof(values) ? values[(uint8_t)c] : BAD;
}

#ifdef __x86_64__

/*
 * Sixteen characters at a time, by the byte shuffles of Wojciech Muła and Daniel Lemire, "Faster
 * Base64 Encoding and Decoding using AVX2 Instructions" (2018), in their 128-bit form. Both
 * return how many of the n input bytes they did; the rest is left to the plain loops.
 */
__attribute__((target("ssse3"))) static size_t encode_ssse3(char *out, const uint8_t *p, size_t n)
{
	const __m128i spread = _mm_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
	/* What to add to a value: by class, which is 0 for a-z, 13 for A-Z, value - 51 above. */
	const __m128i offsets = _mm_setr_epi8('a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
					      '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
					      '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0);
	size_t i;

	/* Sixteen bytes are read and twelve used. */
	for (i = 0; n - i >= 16; i += 12, out += 16) {
		__m128i in = _mm_loadu_si128((const void *)(p + i));
		__m128i high, low, six, class;

		in = _mm_shuffle_epi8(in, spread);
		high = _mm_mulhi_epu16(_mm_and_si128(in, _mm_set1_epi32(0x0fc0fc00)),
				       _mm_set1_epi32(0x04000040));
		low = _mm_mullo_epi16(_mm_and_si128(in, _mm_set1_epi32(0x003f03f0)),
				      _mm_set1_epi32(0x01000010));
		six = _mm_or_si128(high, low);
		class = _mm_subs_epu8(six, _mm_set1_epi8(51));
		class = _mm_or_si128(class, _mm_and_si128(_mm_cmpgt_epi8(_mm_set1_epi8(26), six),
							  _mm_set1_epi8(13)));
		six = _mm_add_epi8(six, _mm_shuffle_epi8(offsets, class));
		_mm_storeu_si128((void *)out, six);
	}
	return i;
}

/* Stops before sixteen characters that are not all of the standard alphabet. */
__attribute__((target("ssse3"))) static size_t decode_ssse3(uint8_t *out, const char *p, size_t n,
							    uint8_t *seen)
{
	/* A character is in the alphabet where its nibbles' entries have no bit in common. */
	const __m128i by_low = _mm_setr_epi8(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
					     0x11, 0x13, 0x1a, 0x1b, 0x1b, 0x1b, 0x1a);
	const __m128i by_high = _mm_setr_epi8(0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10,
					      0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10);
	/* What to add to a character: by its high nibble, less one for the slash. */
	const __m128i offsets =
		_mm_setr_epi8(0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0);
	const __m128i pack = _mm_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
	const __m128i slash = _mm_set1_epi8('/');
	__m128i special = _mm_setzero_si128();
	size_t i;

	/* Sixteen bytes are written and twelve count: the rest of the input has room for four. */
	for (i = 0; n - i >= 24; i += 16, out += 12) {
		__m128i in = _mm_loadu_si128((const void *)(p + i));
		__m128i high = _mm_and_si128(_mm_srli_epi32(in, 4), slash);
		__m128i bad = _mm_and_si128(_mm_shuffle_epi8(by_high, high),
					    _mm_shuffle_epi8(by_low, _mm_and_si128(in, slash)));
		__m128i six;

		if (_mm_movemask_epi8(_mm_cmpgt_epi8(bad, _mm_setzero_si128())))
			break;
		special = _mm_or_si128(special, _mm_cmpgt_epi8(_mm_set1_epi8('0'), in));
		six = _mm_add_epi8(
			in,
			_mm_shuffle_epi8(offsets, _mm_add_epi8(_mm_cmpeq_epi8(in, slash), high)));
		six = _mm_maddubs_epi16(six, _mm_set1_epi32(0x01400140));
		six = _mm_madd_epi16(six, _mm_set1_epi32(0x00011000));
		_mm_storeu_si128((void *)out, _mm_shuffle_epi8(six, pack));
	}
	if (_mm_movemask_epi8(special))
		*seen |= STANDARD;
	return i;
}

#endif

/* Encodes all full groups of three; the number of bytes done. */
static size_t encode_groups(char *out, const uint8_t *p, size_t n)
{
	size_t i = 0;

#ifdef __x86_64__
	if (__builtin_cpu_supports("ssse3")) {
		i = encode_ssse3(out, p, n);
		out += i / 3 * 4;
	}
#endif
	for (; n - i >= 3; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (uint32_t)p[i + 1] << 8 | p[i + 2];

		*out++ = digits[v >> 18];
		*out++ = digits[v >> 12 & 63];
		*out++ = digits[v >> 6 & 63];
		*out++ = digits[v & 63];
	}
	return i;
}

size_t base64_encode_unpadded(char *out, const void *data, size_t n)
{
	const uint8_t *p = data;
	size_t done = encode_groups(out, p, n);
	size_t o = done / 3 * 4;

	if (n - done == 1) {
		out[o++] = digits[p[done] >> 2];
		out[o++] = digits[p[done] << 4 & 63];
	} else if (n - done == 2) {
		out[o++] = digits[p[done] >> 2];
		out[o++] = digits[(p[done] << 4 | p[done + 1] >> 4) & 63];
		out[o++] = digits[p[done + 1] << 2 & 63];
	}
	return o;
}

size_t base64_encode(char *out, const void *p, size_t n)
{
	size_t o = base64_encode_unpadded(out, p, n);

	while (o % 4)
		out[o++] = '=';
	return o;
}

ssize_t base64_decode(void *decoded, const char *p, size_t n)
{
	uint8_t *out = decoded, *begin = decoded;
	uint8_t seen = 0, c[4];
	size_t i = 0;

	/* Padding fills the last group of four, or there is none at all. */
	if (n && n % 4 == 0 && p[n - 1] == '=')
		n -= p[n - 2] == '=' ? 2 : 1;
	if (n % 4 == 1)
		return -EINVAL;

#ifdef __x86_64__
	if (__builtin_cpu_supports("ssse3")) {
		i = decode_ssse3(out, p, n, &seen);
		out += i / 4 * 3;
	}
#endif
	for (; n - i >= 4; i += 4) {
		for (int k = 0; k < 4; k++) {
			c[k] = value_of(p[i + k]);
			seen |= c[k];
		}
		*out++ = (uint8_t)(c[0] << 2 | (c[1] & 63) >> 4);
		*out++ = (uint8_t)(c[1] << 4 | (c[2] & 63) >> 2);
		*out++ = (uint8_t)(c[2] << 6 | (c[3] & 63));
	}
	if (i < n) {
		c[0] = value_of(p[i]);
		c[1] = value_of(p[i + 1]);
		c[2] = i + 2 < n ? value_of(p[i + 2]) : 0;
		seen |= c[0] | c[1] | c[2];
		*out++ = (uint8_t)(c[0] << 2 | (c[1] & 63) >> 4);
		if (i + 2 < n)
			*out++ = (uint8_t)(c[1] << 4 | (c[2] & 63) >> 2);
	}
	return (seen & BAD) == BAD ? -EINVAL : out - begin;
}
