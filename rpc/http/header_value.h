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
	HEADER_CODING_NONE, /* no known coding */
};

/*
 * Chooses the coding of an answer by the request's Accept-Encoding (NULL if absent): the known
 * coding with the greatest weight, the first of equal ones. An invalid weight counts as 1. gzip is
 * chosen if it is named, or if the value has '*' and refuses identity. NONE: no known coding is
 * acceptable (406).
 */
enum header_coding header_accept_encoding(const char *value);

/*
 * Returns true if an Accept-Encoding refuses identity: by name, or by "*;q=0" if it does not name
 * identity.
 */
bool header_identity_refused(const char *value);

/* Returns the coding of a body by its Content-Encoding (NULL: absent). NONE: an unknown coding. */
enum header_coding header_content_encoding(const char *value);

/*
 * A value with parameters: `text/plain; charset=utf-8`, `form-data; name="file"`. Names are in
 * lower case. A parameter may occur twice only with the same value.
 */
#define HEADER_MAX_PARAMS 32

struct header_param {
	const char *name;
	const char *value; /* unquoted, NUL-terminated, without a NUL inside */
};

struct header_params {
	const char *type; /* the part before the first ';' in lower case: TOKEN or TOKEN/TOKEN */
	unsigned n_params;
	struct header_param params[HEADER_MAX_PARAMS];
};

/*
 * Parses a value with parameters into the arena. Returns 0 or -EINVAL. After -EINVAL, ret->type is
 * NULL if the type is malformed or two parameters contradict each other. It is set, without
 * parameters, if only a parameter is malformed.
 */
int header_params_parse(struct arena *arena, const char *value, struct header_params *ret);

/*
 * Returns a parameter's value by its lower-case name, or NULL; stores its length in *ret_bytes,
 * which must not be NULL. The forms of RFC 2231, `name*=utf-8''…` and `name*0=…; name*1*=…`, are
 * decoded and take precedence. Their values can contain a NUL.
 */
const char *header_param_get(struct arena *arena, const struct header_params *params,
			     const char *name, size_t *ret_bytes);

/*
 * Returns the user of `Authorization: Basic …` (RFC 7617), in the arena; ignores the password.
 * Returns NULL if the value is NULL, has another scheme, is not base64, or has no colon. A name
 * that contains a NUL becomes the empty name, which belongs to no user either.
 */
const char *header_basic_user(struct arena *arena, const char *authorization);

#endif
