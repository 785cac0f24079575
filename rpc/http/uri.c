/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/http/uri.h"

#include <stdbool.h>
#include <string.h>

#include "base/arena.h"
#include "rpc/http/http_chars.h"

/*
 * Decodes one byte, plain or escaped, at *p, and advances *p, which is before `end`. Returns the
 * byte, or -1 for an invalid escape.
 */
static int byte_next(const char **p, const char *end, bool plus_is_space)
{
	const char *s = *p;
	int high, low;

	*p = s + 1;
	if (*s == '+' && plus_is_space)
		return ' ';
	if (*s != '%')
		return (unsigned char)*s;
	if (end - s < 3)
		return -1;
	high = http_hex_value(s[1]);
	low = http_hex_value(s[2]);
	if (high < 0 || low < 0)
		return -1;
	*p = s + 3;
	return high << 4 | low;
}

/* Decodes [p, end) into the arena; NULL for a bad escape. */
static const char *decode(struct arena *arena, const char *p, const char *end, bool plus_is_space,
			  size_t *ret_bytes)
{
	char *out = arena_alloc(arena, (size_t)(end - p) + 1);
	size_t n = 0;

	while (p < end) {
		int c = byte_next(&p, end, plus_is_space);

		if (c < 0)
			return NULL;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	*ret_bytes = n;
	return out;
}

const char *uri_path_decode(struct arena *arena, const char *raw, size_t *ret_bytes)
{
	size_t n = strlen(raw);
	const char *path = raw;

	if (memchr(raw, '%', n))
		path = decode(arena, raw, raw + n, false, &n);
	if (!path || (!ret_bytes && strlen(path) != n))
		return NULL;
	if (ret_bytes)
		*ret_bytes = n;
	return path;
}

/* Returns true if [p, end) has only valid escapes and no ';'. */
static bool pair_is_good(const char *p, const char *end)
{
	if (memchr(p, ';', (size_t)(end - p)))
		return false;
	while (p < end)
		if (byte_next(&p, end, true) < 0)
			return false;
	return true;
}

/* Returns true if [p, end), decoded, is the name. */
static bool name_is(const char *p, const char *end, const char *name)
{
	while (p < end) {
		int c = byte_next(&p, end, true);

		if (c != (unsigned char)*name || c == '\0')
			return false;
		name++;
	}
	return *name == '\0';
}

unsigned uri_query_get(struct arena *arena, const char *query, const char *name, const char **ret,
		       size_t *ret_bytes)
{
	const char *end, *pair_end, *name_end, *value;
	unsigned count = 0;

	if (!query)
		return 0;
	end = query + strlen(query);
	for (const char *pair = query; pair < end; pair = pair_end + 1) {
		pair_end = memchr(pair, '&', (size_t)(end - pair));
		if (!pair_end)
			pair_end = end;
		name_end = memchr(pair, '=', (size_t)(pair_end - pair));
		value = name_end ? name_end + 1 : pair_end;
		if (!name_end)
			name_end = pair_end;
		if (pair == pair_end || !name_is(pair, name_end, name) ||
		    !pair_is_good(pair, pair_end))
			continue;
		if (count++ == 0)
			*ret = decode(arena, value, pair_end, true, ret_bytes);
	}
	return count;
}
