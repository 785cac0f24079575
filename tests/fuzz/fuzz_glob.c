/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns and paths. The first byte says where the input is cut in two. For short ones, what
 * matches must be what the rules say when they are followed literally, whatever that costs.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "watch/engine/glob.h"

#define SHORT_BYTES 10

/* Follows watch/engine/glob.h literally, without sets and escapes. */
static bool matches(const char *pattern, const char *p, const char *t)
{
	size_t stars = strspn(p, "*"), i;

	if (!*p)
		return !*t;
	if (stars == 0)
		return *t && (*p == '?' ? *t != '/' : *p == *t) && matches(pattern, p + 1, t + 1);
	p += stars;
	if (stars > 1 && *p == '/' && (p - stars == pattern || p[-(long)stars - 1] == '/')) {
		/* Whole directories, or none. */
		for (i = 0;; i++) {
			if ((i == 0 || t[i - 1] == '/') && matches(pattern, p + 1, t + i))
				return true;
			if (!t[i])
				return false;
		}
	}
	for (i = 0;; i++) {
		if (matches(pattern, p, t + i))
			return true;
		if (!t[i] || (stars == 1 && t[i] == '/'))
			return false;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	size_t cut;
	char *pattern, *text;
	bool got;

	if (n < 1)
		return 0;
	cut = data[0] % n;
	pattern = strndup((const char *)data + 1, cut);
	text = strndup((const char *)data + 1 + cut, n - 1 - cut);
	got = watch_glob_match(pattern, text);
	if (strlen(pattern) <= SHORT_BYTES && strlen(text) <= SHORT_BYTES &&
	    !strpbrk(pattern, "[\\"))
		CHECK(got == matches(pattern, pattern, text));
	free(pattern);
	free(text);
	return 0;
}
