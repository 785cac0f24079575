/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 (RFC 4648): JSON carries bytes in this encoding, for example a process' output.
 *
 * The encoder writes the standard alphabet. The decoder accepts the standard or the URL-safe
 * alphabet (not both in one text), with or without padding, and refuses whitespace. It ignores
 * excess bits in the last character, as most decoders do.
 */
#ifndef RPC_CODEC_BASE64_H
#define RPC_CODEC_BASE64_H

#include <stddef.h>
#include <sys/types.h>

/* Returns the length of n bytes when encoded with padding. n is below SIZE_MAX / 2. */
static inline size_t base64_encoded_bytes(size_t n)
{
	return (n + 2) / 3 * 4;
}

/* Returns the maximum number of bytes that n characters decode to. */
static inline size_t base64_decoded_max_bytes(size_t n)
{
	return n / 4 * 3 + n % 4;
}

/*
 * Writes the encoding of n bytes to `out`, which has room for base64_encoded_bytes(n) and does not
 * overlap the input. Adds no NUL. Returns the length.
 */
size_t base64_encode(char *out, const void *p, size_t n);

/* As base64_encode, without padding. */
size_t base64_encode_unpadded(char *out, const void *data, size_t n);

/*
 * Decodes n characters to `decoded`, which has room for base64_decoded_max_bytes(n) and may be the
 * input itself (decoded == p). Returns the length, or -EINVAL; the output is then undefined.
 */
ssize_t base64_decode(void *decoded, const char *p, size_t n);

#endif
