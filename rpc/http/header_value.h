/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses the values of header fields: lists, weights, parameters, credentials. The rules are the
 * reference's, which are less strict than the RFCs.
 */
#ifndef RPC_HTTP_HEADER_VALUE_H
#define RPC_HTTP_HEADER_VALUE_H

#include <stdbool.h>
#include <stddef.h>

struct arena;

/* Returns true if a comma-separated list (`keep-alive, TE`) has the member, in any case. */
bool header_list_has(const char *list, const char *member);

enum header_coding {
	HEADER_CODING_IDENTITY,
	HEADER_CODING_GZIP,
	HEADER_CODING_NONE, /* none that is known */
};

/*
 * Chooses the coding of an answer by the request's Accept-Encoding (NULL if absent): the known
 * coding with the greatest weight, the first of equal ones. An invalid weight counts as 1. gzip is
 * chosen if it is named, or if the value has '*' and refuses identity. NONE: no known coding is
 * acceptable (406).
 */
enum header_coding header_accept_encoding(const char *value);

/* Whether an Accept-Encoding refuses identity: by name, or by "*;q=0" without naming it. */
bool header_identity_refused(const char *value);

/* The coding of a body, by its Content-Encoding (NULL where there is none). NONE: unknown. */
enum header_coding header_content_encoding(const char *value);

/*
 * A value with parameters: `text/plain; charset=utf-8`, `form-data; name="file"`. Names are in
 * lower case; a parameter may come twice if it has the same value.
 */
#define HEADER_MAX_PARAMS 32

struct header_param {
	const char *name;
	const char *value; /* unquoted; a NUL is added, and none is inside */
};

struct header_params {
	const char *type; /* what is before the first ';', in lower case: a token or two with '/' */
	unsigned n_params;
	struct header_param params[HEADER_MAX_PARAMS];
};

/*
 * Reads a value with parameters into the arena. Returns 0; or -EINVAL, with ret->type NULL where
 * the type itself is bad or two parameters contradict each other, and set, without parameters,
 * where only a parameter is malformed.
 */
int header_params_parse(struct arena *arena, const char *value, struct header_params *ret);

/*
 * A parameter's value by its lower-case name, or NULL; its length in *ret_bytes (not NULL). The
 * forms of RFC 2231, `name*=utf-8''…` and `name*0=…; name*1*=…`, are decoded and win; they can put
 * a NUL inside.
 */
const char *header_param_get(struct arena *arena, const struct header_params *params,
			     const char *name, size_t *ret_bytes);

/*
 * The user of `Authorization: Basic …` (RFC 7617), in the arena; the password is ignored. NULL
 * where the value is NULL, has another scheme, is no base64, or has no colon. A name with a NUL
 * in it is returned as the empty one: no user has either.
 */
const char *header_basic_user(struct arena *arena, const char *authorization);

#endif
