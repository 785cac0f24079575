/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Glob patterns, with the syntax of gitignore(5): `*` and `?` match anything but a slash, `**`
 * matches slashes as well, `[a-z]` and `[!a-z]` match one character of a set, a backslash quotes
 * the next character.
 *
 * A pattern without a slash is compared with the last element of a path, any other pattern with
 * the whole path. Time: bytes of the pattern times bytes of the text, at most.
 */
#ifndef WATCH_ENGINE_GLOB_H
#define WATCH_ENGINE_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* The limits of one list; WATCH_PATTERNS_MAX_BYTES counts the text of all its patterns. */
#define WATCH_PATTERNS_MAX	 64
#define WATCH_PATTERN_MAX_BYTES	 256
#define WATCH_PATTERNS_MAX_BYTES 1024

struct watch_patterns {
	char *text[WATCH_PATTERNS_MAX]; /* owned by the creator of the list */
	size_t n;
};

/*
 * Returns true if the pattern matches the text. A pattern longer than WATCH_PATTERN_MAX_BYTES
 * matches nothing.
 */
bool watch_glob_match(const char *pattern, const char *text);

/*
 * watch_patterns_copy returns a copy that owns its texts; NULL for an empty list. Both accept NULL.
 */
struct watch_patterns *watch_patterns_copy(const struct watch_patterns *from);
void watch_patterns_free(struct watch_patterns *patterns);

/* Returns true if a pattern matches the path. NULL and an empty list match nothing. */
bool watch_patterns_match(const struct watch_patterns *patterns, const char *path);

#endif
