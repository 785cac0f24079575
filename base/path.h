/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths as clients give them: docs/compatibility/http.md, "Rules for every endpoint", Paths.
 */
#ifndef BASE_PATH_H
#define BASE_PATH_H

#include "base/arena.h"
#include "base/error.h"
#include "base/user.h"

/*
 * The absolute path a client means, in the arena: `~` and `~/x` are the user's home, `~other` is
 * ERROR_INVALID_ARGUMENT, a relative path is joined to the user's home, an empty one is
 * `default_dir` (NULL or "": the home). Not cleaned: `..` and double slashes stay as given in an
 * absolute path; a joined path is cleaned as Go's filepath.Join does.
 */
int path_resolve(const char *path, const struct user *user, const char *default_dir,
		 struct arena *arena, char **ret, struct error *err);

/* Lexical cleaning as Go's filepath.Clean: no `.`, `..`, double or trailing slashes. */
char *path_clean(struct arena *arena, const char *path);

/* The part behind the last slash of a cleaned path ("/" for the root). Borrowed from it. */
const char *path_base(const char *path);

#endif
