#include "watch/glob.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/*
 * One element of a pattern that stands for one character: whether it does for c, and where the
 * pattern goes on. A set that is not closed is an ordinary bracket.
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
	if (*p != '[')
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

/* Where a match stands, and where it can be taken up again with more text for a star. */
struct glob {
	const char *p;
	const char *t;
	const char *star_p; /* behind the last `*`; NULL: none */
	const char *star_t;
	const char *deep_p; /* behind the last `**` */
	const char *deep_t;
	bool deep_dirs; /* it was `**` and a slash: it takes whole directories */
};

/* Reads the stars at g->p. */
static void glob_star(struct glob *g, const char *pattern)
{
	const char *stars = g->p;

	g->p += strspn(g->p, "*");
	if (g->p - stars == 1) {
		g->star_p = g->p;
		g->star_t = g->t;
		return;
	}
	g->deep_dirs = *g->p == '/' && (stars == pattern || stars[-1] == '/');
	if (g->deep_dirs)
		g->p++;
	g->deep_p = g->p;
	g->deep_t = g->t;
	g->star_p = NULL;
}

/*
 * Takes the match up again. Of several stars only the last is ever tried with more text, for what
 * stands before it is matched as early as can be. A `*` must not take a slash; where it can't go
 * on, the last `**` takes more.
 */
static bool glob_retry(struct glob *g)
{
	if (g->star_p && *g->star_t && *g->star_t != '/') {
		g->p = g->star_p;
		g->t = ++g->star_t;
		return true;
	}
	g->star_p = NULL;
	if (!g->deep_p || !*g->deep_t)
		return false;
	if (g->deep_dirs) {
		g->deep_t = strchr(g->deep_t, '/');
		if (!g->deep_t) {
			g->deep_p = NULL;
			return false;
		}
	}
	g->p = g->deep_p;
	g->t = ++g->deep_t;
	return true;
}

bool watch_glob_match(const char *pattern, const char *text)
{
	struct glob g = {.p = pattern, .t = text};
	const char *next;

	for (;;) {
		if (*g.p == '*') {
			glob_star(&g, pattern);
		} else if (*g.t && *g.p && match_one(g.p, *g.t, &next)) {
			g.p = next;
			g.t++;
		} else if (!*g.t && !*g.p) {
			return true;
		} else if (!glob_retry(&g)) {
			return false;
		}
	}
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
