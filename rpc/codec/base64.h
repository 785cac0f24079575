/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 (RFC 4648): how JSON carries bytes, and with it every chunk of a process' output.
 *
 * Written is the standard alphabet. Read are the standard and the URL-safe alphabet, but not both
 * in one text, with padding or without, and nothing else: no whitespace. Bits that the last
 * character has too many are ignored, as most decoders do.
 */
#ifndef RPC_CODEC_BASE64_H
#define RPC_CODEC_BASE64_H

#include <stddef.h>
#include <sys/types.h>

/* The length of n bytes encoded with padding. n is below SIZE_MAX / 2. */
static inline size_t base64_encoded_bytes(size_t n)
{
	return (n + 2) / 3 * 4;
}

/* Room enough to decode n characters into. */
static inline size_t base64_decoded_max_bytes(size_t n)
{
	return n / 4 * 3 + n % 4;
}

/*
 * Writes the encoding of n bytes to out, which has room for base64_encoded_bytes(n) and is none
 * of the input; no NUL is added. Returns the length.
 */
size_t base64_encode(char *out, const void *p, size_t n);

/* As base64_encode, without padding. */
size_t base64_encode_unpadded(char *out, const void *data, size_t n);

/*
 * Decodes n characters to where there is room for base64_decoded_max_bytes(n), which may be where
 * the input is (decoded == p). Returns the length, or -EINVAL; the content is then undefined.
 */
ssize_t base64_decode(void *decoded, const char *p, size_t n);

#endif
