/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decodes percent-encoding (RFC 3986 section 2.1) and query strings, with the rules of the
 * reference: a pair with an invalid escape or a ';' counts as absent, '+' is a space, and a name
 * may occur more than once and may be percent-encoded itself.
 */
#ifndef RPC_HTTP_URI_H
#define RPC_HTTP_URI_H

#include <stddef.h>

struct arena;

/*
 * Decodes the escapes of a path; '+' is not changed. Returns a NUL-terminated string in the arena,
 * `raw` itself if it has no escape, or NULL for an invalid escape. *ret_bytes is the length,
 * because "%00" puts a NUL inside. If ret_bytes is NULL, a path with "%00" is refused as well.
 */
const char *uri_path_decode(struct arena *arena, const char *raw, size_t *ret_bytes);

/*
 * Looks up a name in an undecoded query (NULL: empty). Returns the number of pairs that have this
 * name. If there is one, *ret and *ret_bytes are the decoded value of the first, NUL-terminated and
 * in the arena; a pair without '=' has the empty value. Allocates only this value.
 */
unsigned uri_query_get(struct arena *arena, const char *query, const char *name, const char **ret,
		       size_t *ret_bytes);

#endif
