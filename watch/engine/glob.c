/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/engine/glob.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/*
 * Compares one element of a pattern, which is not a star, with the character c. Sets `next` to the
 * element after it. A set without its closing bracket is an ordinary "[".
 */
static bool match_one(const char *p, char c, const char **next)
{
	bool negated, found = false;
	const char *set = p + 1;

	*next = p + 1;
	if (*p == '?')
		return c != '/';
	if (*p == '\\' && p[1]) {
		*next = p + 2;
		return p[1] == c;
	}
	if (*p != '[' || !strchr(set, ']'))
		return *p == c;
	negated = *set == '!' || *set == '^';
	if (negated)
		set++;
	do {
		if (!*set)
			return c == '[';
		if (set[1] == '-' && set[2] && set[2] != ']') {
			found |= (unsigned char)c >= (unsigned char)set[0] &&
				 (unsigned char)c <= (unsigned char)set[2];
			set += 3;
		} else {
			found |= *set++ == c;
		}
	} while (*set != ']');
	*next = set + 1;
	return c != '/' && found != negated;
}

/*
 * The positions in a pattern that the text so far can reach (Thompson's simulation of a
 * nondeterministic automaton, CACM 11(6), 1968). Each position is in the list once, so a byte of
 * the text costs at most one comparison for each byte of the pattern, whatever the number of stars.
 */
struct places {
	uint16_t at[WATCH_PATTERN_MAX_BYTES + 1];
	size_t n;
	bool has[WATCH_PATTERN_MAX_BYTES + 1];
};

static void places_put(struct places *places, size_t at)
{
	if (places->has[at])
		return;
	places->has[at] = true;
	places->at[places->n++] = (uint16_t)at;
}

/*
 * Returns true if "**" and a slash are at this position: they match whole directories, or nothing.
 */
static bool is_dirs(const char *pattern, size_t at)
{
	size_t stars = strspn(pattern + at, "*");

	return stars > 1 && pattern[at + stars] == '/' && (at == 0 || pattern[at - 1] == '/');
}

/* Adds a position; if stars are there, which may match nothing, also the position after them. */
static void places_add(struct places *places, const char *pattern, size_t at)
{
	while (!places->has[at]) {
		places_put(places, at);
		if (pattern[at] != '*')
			break;
		at += strspn(pattern + at, "*") + is_dirs(pattern, at);
	}
}

/* Advances from one position by one character of the text. */
static void places_step(struct places *next, const char *pattern, size_t at, char c)
{
	size_t stars = strspn(pattern + at, "*");
	const char *behind;

	if (is_dirs(pattern, at)) {
		places_put(next, at);
		if (c == '/')
			places_add(next, pattern, at + stars + 1);
	} else if (stars > 1 || (stars == 1 && c != '/')) {
		places_add(next, pattern, at);
	} else if (stars == 0 && pattern[at] && match_one(pattern + at, c, &behind)) {
		places_add(next, pattern, (size_t)(behind - pattern));
	}
}

bool watch_glob_match(const char *pattern, const char *text)
{
	struct places both[2], *now = &both[0], *next = &both[1], *swap;
	size_t i, n = strlen(pattern);

	if (n > WATCH_PATTERN_MAX_BYTES)
		return false;
	memset(both, 0, sizeof(both));
	places_add(now, pattern, 0);
	for (; *text && now->n > 0; text++) {
		for (i = 0; i < now->n; i++)
			places_step(next, pattern, now->at[i], *text);
		for (i = 0; i < now->n; i++)
			now->has[now->at[i]] = false;
		now->n = 0;
		swap = now;
		now = next;
		next = swap;
	}
	return now->has[n];
}

struct watch_patterns *watch_patterns_copy(const struct watch_patterns *from)
{
	struct watch_patterns *copy;
	size_t i;

	if (!from || !from->n)
		return NULL;
	copy = mem_zalloc(sizeof(*copy));
	for (i = 0; i < from->n; i++)
		copy->text[i] = mem_strdup(from->text[i]);
	copy->n = from->n;
	return copy;
}

void watch_patterns_free(struct watch_patterns *patterns)
{
	if (!patterns)
		return;
	while (patterns->n > 0)
		free(patterns->text[--patterns->n]);
	free(patterns);
}

bool watch_patterns_match(const struct watch_patterns *patterns, const char *path)
{
	const char *slash, *last;
	size_t i;

	if (!patterns || !patterns->n)
		return false;
	slash = strrchr(path, '/');
	last = slash ? slash + 1 : path;
	for (i = 0; i < patterns->n; i++)
		if (watch_glob_match(patterns->text[i],
				     strchr(patterns->text[i], '/') ? path : last))
			return true;
	return false;
}
