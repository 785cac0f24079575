/* SPDX-License-Identifier: Apache-2.0 */
/* Authorisation: which requests need the access token, and who may set the token. */
#ifndef ENVD_AUTH_H
#define ENVD_AUTH_H

#include <stdbool.h>

#include "base/error.h"
#include "envd/control/token.h"

struct stream;

/*
 * Returns true if the token check lets the request pass: no token is set, X-Access-Token equals the
 * token, the endpoint does its own checks (GET, HEAD and POST /files, POST /init), or the endpoint
 * needs no token (GET and HEAD /health). This is a gate_token_fn; `arg` is the struct token.
 */
bool auth_allows(const struct stream *s, void *arg);

/*
 * The two inputs of auth_decide: the token that the /init sent, and the metadata service's answer.
 */
enum auth_sent {
	AUTH_SENT_NONE,
	AUTH_SENT_CURRENT, /* equal to the token that is set */
	AUTH_SENT_OTHER,
};

enum auth_mmds {
	AUTH_MMDS_NONE,	   /* no metadata service, no answer, or no hash in it */
	AUTH_MMDS_MATCHES, /* its hash is the hash of the sent token; of "" if none was sent */
	AUTH_MMDS_DIFFERS,
};

enum auth_verdict {
	AUTH_ALLOWED,
	AUTH_RESET_REFUSED, /* no token was sent, but one is set */
	AUTH_TOKEN_REFUSED,
};

/*
 * Decides by the table in docs/compatibility/http.md, "Authorisation of `/init`". Has no side
 * effects.
 */
enum auth_verdict auth_decide(bool token_is_set, enum auth_sent sent, enum auth_mmds mmds);

/*
 * Compares the metadata service's hash with the hash of the token (NULL: no token, hashed as "").
 * Returns AUTH_MMDS_NONE if `hash` is NULL or "".
 */
enum auth_mmds auth_compare_hash(const char *hash, const char *token, size_t token_bytes);

/* Returns the response body of a refused /init (compatibility/details 18). Borrowed, static. */
const char *auth_verdict_text(enum auth_verdict verdict);

#endif
