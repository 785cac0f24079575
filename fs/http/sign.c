/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/http/sign.h"

#include <sha2.h>
#include <string.h>

#include "base/mem.h"
#include "rpc/codec/base64.h"

static void update(SHA2_CTX *sha, const char *p, size_t n)
{
	SHA256Update(sha, (const uint8_t *)p, n);
}

/* Writes the signature that the request must have. */
static void make_signature(const struct fs_sign *sign, char out[FS_SIGNATURE_BYTES])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	SHA2_CTX sha;
	char *end;

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
	end = stpcpy(out, "v1_");
	end[base64_encode_unpadded(end, digest, sizeof(digest))] = '\0';
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
	make_signature(sign, expected);
	if (!mem_equal_constant_time(expected, strlen(expected), sign->signature,
				     strlen(sign->signature)))
		return "invalid signature";
	if (sign->expiration && sign->expiration_s < sign->now_s)
		return "signature is already expired";
	return NULL;
}
