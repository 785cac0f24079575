/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks and makes signatures of /files. With a signature a host gives a client without a token
 * access to one path (docs/compatibility/http.md, "Signatures"). No I/O.
 */
#ifndef FS_HTTP_SIGN_H
#define FS_HTTP_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "v1_", 43 characters of base64, a NUL. */
#define FS_SIGNATURE_BYTES 47

struct fs_sign {
	const char *token; /* NULL: no token is set, and every request is allowed */
	size_t token_bytes;
	const char *header_token; /* X-Access-Token of the request; NULL or "": absent */
	const char *path;	  /* from the query, decoded; "" if absent */
	const char *operation;	  /* "read", "write" */
	const char *username;	  /* from the query; "" if absent */
	const char *signature;	  /* NULL if absent */
	const char *expiration;	  /* decimal seconds, the text that was signed; NULL if absent */
	int64_t expiration_s;
	int64_t now_s;
};

/* Returns NULL if the request is allowed, else the message for its 401 (static text). */
const char *fs_sign_check(const struct fs_sign *sign);

#endif
