/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/http/sign.h"

#include <sha2.h>
#include <string.h>

#include "base/mem.h"

/* Writes a SHA-256 as unpadded standard base64 (RFC 4648 section 4). Returns the end. */
static char *put_base64(char *out, const uint8_t digest[SHA256_DIGEST_LENGTH])
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t bits = 0;
	unsigned count = 0;
	size_t i;

	for (i = 0; i < SHA256_DIGEST_LENGTH; i++) {
		bits = bits << 8 | digest[i];
		for (count += 8; count >= 6; count -= 6)
			*out++ = alphabet[bits >> (count - 6) & 63];
	}
	if (count)
		*out++ = alphabet[bits << (6 - count) & 63];
	return out;
}

static void update(SHA2_CTX *sha, const char *p, size_t n)
{
	SHA256Update(sha, (const uint8_t *)p, n);
}

void fs_sign_make(const struct fs_sign *sign, char out[FS_SIGNATURE_BYTES])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	SHA2_CTX sha;

	SHA256Init(&sha);
	update(&sha, sign->path, strlen(sign->path));
	update(&sha, ":", 1);
	update(&sha, sign->operation, strlen(sign->operation));
	update(&sha, ":", 1);
	update(&sha, sign->username, strlen(sign->username));
	update(&sha, ":", 1);
	update(&sha, sign->token, sign->token_bytes);
	if (sign->expiration) {
		update(&sha, ":", 1);
		update(&sha, sign->expiration, strlen(sign->expiration));
	}
	SHA256Final(digest, &sha);
	*put_base64(stpcpy(out, "v1_"), digest) = '\0';
	/* The hash state contains parts of the token. */
	explicit_bzero(&sha, sizeof(sha));
}

const char *fs_sign_check(const struct fs_sign *sign)
{
	char expected[FS_SIGNATURE_BYTES];

	if (!sign->token)
		return NULL;
	if (sign->header_token && *sign->header_token) {
		if (!mem_equal_constant_time(sign->token, sign->token_bytes, sign->header_token,
					     strlen(sign->header_token)))
			return "access token present in header but does not match";
		return NULL;
	}
	if (!sign->signature)
		return "missing signature query parameter";
	fs_sign_make(sign, expected);
	if (!mem_equal_constant_time(expected, strlen(expected), sign->signature,
				     strlen(sign->signature)))
		return "invalid signature";
	if (sign->expiration && sign->expiration_s < sign->now_s)
		return "signature is already expired";
	return NULL;
}
