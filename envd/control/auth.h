/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what: the access token of requests, and who may set it.
 */
#ifndef ENVD_AUTH_H
#define ENVD_AUTH_H

#include <stdbool.h>

#include "base/error.h"
#include "envd/control/token.h"

struct stream;

/*
 * Whether a request passes as far as the token is concerned: none is set, X-Access-Token equals
 * it, or the endpoint has checks of its own (GET and HEAD /files, POST /files, POST /init), or
 * needs none (GET /health). A gate_token_fn; `arg` is the struct token.
 */
bool auth_allows(const struct stream *s, void *arg);

/* What the authorisation of /init is decided by. */
enum auth_sent {
	AUTH_SENT_NONE,
	AUTH_SENT_CURRENT, /* equal to the token that is set */
	AUTH_SENT_OTHER,
};

enum auth_mmds {
	AUTH_MMDS_NONE,	   /* no metadata service, no answer, or no hash in it */
	AUTH_MMDS_MATCHES, /* its hash is that of the token sent; of "" where none was sent */
	AUTH_MMDS_DIFFERS,
};

enum auth_verdict {
	AUTH_ALLOWED,
	AUTH_RESET_REFUSED, /* no token was sent, and there is one to protect */
	AUTH_TOKEN_REFUSED,
};

/* The table of docs/compatibility/http.md, "Authorisation of /init itself". Pure. */
enum auth_verdict auth_decide(bool token_is_set, enum auth_sent sent, enum auth_mmds mmds);

/* What the metadata service's hash says of a token; `hash` NULL or "" is AUTH_MMDS_NONE. */
enum auth_mmds auth_compare_hash(const char *hash, const char *token, size_t token_bytes);

/* The bare text /init answers a refusal with (compatibility/details 18). Borrowed, static. */
const char *auth_verdict_text(enum auth_verdict verdict);

#endif
