/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filters of a watch, which a client sets with the request header X-Envd-Watch:
 *
 *	X-Envd-Watch: ignore=node_modules, ignore=*.tmp, only=*.c
 *
 *	ignore=GLOB	leaves out names that match. Directories with such a name are not watched.
 *			The pattern has no slash.
 *	only=GLOB	sends events of paths that match one of these (watch/engine/glob.h). Events
 *			of "." and "look again" are sent as well.
 */
#ifndef WATCH_OPTIONS_H
#define WATCH_OPTIONS_H

#include "base/arena.h"
#include "base/error.h"
#include "watch/engine/glob.h"

#define WATCH_OPTIONS_HEADER "x-envd-watch"

struct watch_options {
	struct watch_patterns ignored;
	struct watch_patterns only;
};

/* Parses the header; NULL sets no options. The texts lie in the arena. 0, or -1 with the error. */
int watch_options_parse(const char *text, struct arena *arena, struct watch_options *ret,
			struct error *err);

#endif
