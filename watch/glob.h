/*
 * Glob patterns, as .gitignore's: `*` and `?` stand for anything but a slash, `**` for slashes as
 * well, `[a-z]` and `[!a-z]` for one character of a set, a backslash takes the next as it is.
 *
 * A pattern without a slash is matched against the last element of a path, any other against the
 * whole path. Matching never takes more than the square of the text times the pattern.
 */
#ifndef WATCH_GLOB_H
#define WATCH_GLOB_H

#include <stdbool.h>
#include <stddef.h>

#define WATCH_PATTERNS_MAX	64
#define WATCH_PATTERN_MAX_BYTES 256

struct watch_patterns {
	char *text[WATCH_PATTERNS_MAX]; /* owned by whoever made the list */
	size_t n;
};

bool watch_glob_match(const char *pattern, const char *text);

/* A copy that owns its texts; NULL for an empty list. NULL is fine for both. */
struct watch_patterns *watch_patterns_copy(const struct watch_patterns *from);
void watch_patterns_free(struct watch_patterns *patterns);

/* Whether one of the patterns matches the path. NULL and an empty list match nothing. */
bool watch_patterns_match(const struct watch_patterns *patterns, const char *path);

#endif
