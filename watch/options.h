/*
 * What a client may ask of a watch beyond the protocol, in the request's field X-Envd-Watch:
 *
 *	X-Envd-Watch: ignore=node_modules, ignore=*.tmp, only=*.c, debounce=50, pairs
 *
 *	ignore=GLOB	names that are not there for this watch; directories of such names are not
 *			watched. Without a slash.
 *	only=GLOB	tells only of paths that match one of these (watch/glob.h). "." and "look
 *			again" are always told.
 *	debounce=MS	gathers events until nothing happened for so long, ten times that at most;
 *			repeats are told once. Of streams alone.
 *	pairs		tells a move inside the tree as one event: RENAME, with `renamed_to`.
 */
#ifndef WATCH_OPTIONS_H
#define WATCH_OPTIONS_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "watch/glob.h"

#define WATCH_OPTIONS_HEADER  "x-envd-watch"
#define WATCH_DEBOUNCE_MAX_MS 60000

struct watch_options {
	struct watch_patterns ignored;
	struct watch_patterns only;
	unsigned debounce_ms; /* 0: none */
	bool pairs;
};

/* Reads the field; NULL asks for nothing. Texts go into the arena. 0, or -1 with the error. */
int watch_options_parse(const char *text, struct arena *arena, struct watch_options *ret,
			struct error *err);

#endif
