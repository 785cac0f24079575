/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths and query strings. The input is a query in which "path" is looked up, and a path. What is
 * found must be what a plain reading of the rules, written for clearness alone, finds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "rpc/http/uri.h"
#include "tests/fuzz/fuzz.h"

/* Decodes `in` to `out`, which has its room. Returns the length, or -1 for a bad escape. */
static int decode(const char *in, char *out, bool plus)
{
	int n = 0;

	while (*in) {
		char hex[3] = {0}, *end;

		if (*in != '%') {
			out[n++] = plus && *in == '+' ? ' ' : *in;
			in++;
			continue;
		}
		strncpy(hex, in + 1, 2);
		out[n++] = (char)strtoul(hex, &end, 16);
		if (end != hex + 2 || strchr(" \t\n\v\f\r+-", hex[0]))
			return -1;
		in += 3;
	}
	out[n] = '\0';
	return n;
}

/* Reads one pair. True where it is named "path"; its value goes to `value`. */
static bool read_pair(char *pair, char *value, int *ret_n)
{
	char *equals = strchr(pair, '='), *name = malloc(strlen(pair) + 1);
	int name_n;
	bool is_path;

	if (equals)
		*equals = '\0';
	name_n = decode(pair, name, true);
	*ret_n = decode(equals ? equals + 1 : "", value, true);
	is_path = *ret_n >= 0 && name_n == 4 && !memcmp(name, "path", 4);
	free(name);
	return is_path;
}

static void check_query(const char *query)
{
	struct arena arena = {0};
	char *copy = strdup(query), *rest = copy, *pair;
	char *value = malloc(strlen(query) + 1), *first = malloc(strlen(query) + 1);
	unsigned count = 0, got;
	const char *ret = NULL;
	size_t ret_n = 0;
	int n, first_n = 0;

	while ((pair = strsep(&rest, "&"))) {
		if (!*pair || strchr(pair, ';') || !read_pair(pair, value, &n))
			continue;
		if (count++ == 0) {
			memcpy(first, value, (size_t)n + 1);
			first_n = n;
		}
	}
	got = uri_query_get(&arena, query, "path", &ret, &ret_n);
	CHECK(got == count);
	CHECK(count == 0 || (ret_n == (size_t)first_n && !memcmp(ret, first, ret_n + 1)));
	free(copy);
	free(value);
	free(first);
	arena_clear(&arena);
}

static void check_path(const char *raw)
{
	struct arena arena = {0};
	char *expected = malloc(strlen(raw) + 1);
	int n = decode(raw, expected, false);
	size_t got = 0;
	const char *path = uri_path_decode(&arena, raw, &got);

	CHECK((path != NULL) == (n >= 0));
	CHECK(!path || (got == (size_t)n && !memcmp(path, expected, got + 1)));
	path = uri_path_decode(&arena, raw, NULL);
	CHECK((path != NULL) == (n >= 0 && strlen(expected) == (size_t)n));
	free(expected);
	arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = fuzz_text(data, n);

	check_query(text);
	check_path(text);
	free(text);
	return 0;
}
