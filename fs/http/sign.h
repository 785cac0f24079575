/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures of /files: how a host lends one path to a client without a token
 * (docs/compatibility/http.md, "Signatures"). Pure.
 */
#ifndef FS_HTTP_SIGN_H
#define FS_HTTP_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "v1_", 43 characters of base64, a NUL. */
#define FS_SIGNATURE_BYTES 47

struct fs_sign {
	const char *token; /* of token_bytes; NULL: none is set, and everything is allowed */
	size_t token_bytes;
	const char *header_token; /* X-Access-Token of the request; NULL or "": absent */
	const char *path;	  /* as in the query, decoded; "" where there is none */
	const char *operation;	  /* "read", "write" */
	const char *username;	  /* as in the query; "" where there is none */
	const char *signature;	  /* NULL where there is none */
	const char *expiration; /* decimal seconds, as they are signed; NULL where there is none */
	int64_t expiration_s;
	int64_t now_s;
};

/* NULL where the request may go on; otherwise what a client reads in its 401 (static text). */
const char *fs_sign_check(const struct fs_sign *sign);

/* The signature that belongs to the request. */
void fs_sign_make(const struct fs_sign *sign, char out[FS_SIGNATURE_BYTES]);

/* Whether two strings are equal, in a time that depends on their lengths alone. */
bool fs_equal_constant_time(const void *a, size_t a_bytes, const void *b, size_t b_bytes);

#endif
