/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Percent-encoding (RFC 3986 section 2.1) and query strings, by the rules that existing clients
 * met in the reference: a pair with a bad escape or a ';' in it counts as absent, '+' is a space,
 * a name may come more than once, and may be percent-encoded itself.
 */
#ifndef RPC_HTTP_URI_H
#define RPC_HTTP_URI_H

#include <stddef.h>

struct arena;

/*
 * Decodes the escapes of a path ('+' stays what it is). Returns a NUL-terminated string in the
 * arena, or `raw` itself where it has no escape, or NULL for a bad one. *ret_bytes is its length:
 * "%00" puts a NUL inside. Where ret_bytes is NULL such a path is refused as well.
 */
const char *uri_path_decode(struct arena *arena, const char *raw, size_t *ret_bytes);

/*
 * Looks up a name in a raw query (NULL is an empty one). Returns how many pairs have that name;
 * where any has, *ret and *ret_bytes are the decoded value of the first, in the arena and with a
 * NUL added; a pair without '=' has the empty value. Costs no memory but that value's.
 */
unsigned uri_query_get(struct arena *arena, const char *query, const char *name, const char **ret,
		       size_t *ret_bytes);

#endif
