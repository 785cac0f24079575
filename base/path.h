/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resolves paths from clients: docs/compatibility/http.md, "Rules for every endpoint", Paths.
 */
#ifndef BASE_PATH_H
#define BASE_PATH_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/user.h"

/*
 * Resolves a path to an absolute one in the arena. `~` and `~/x` start at the user's home; `~other`
 * is ERROR_INVALID_ARGUMENT; a relative path is joined to the user's home; an empty path is
 * `default_dir` (NULL or "": the home). A joined path is cleaned as Go's filepath.Join does; an
 * absolute path keeps its `..` and double slashes.
 */
int path_resolve(const char *path, const struct user *user, const char *default_dir,
		 struct arena *arena, char **ret, struct error *err);

/* Lexical cleaning as Go's filepath.Clean: no `.`, `..`, double or trailing slashes. */
char *path_clean(struct arena *arena, const char *path);

/* Returns true for "." and "..", which every directory has. */
bool path_is_dots(const char *name);

#endif
