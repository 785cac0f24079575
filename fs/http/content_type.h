/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The media type of a file (compatibility/details 33): by its extension, else by how it begins.
 */
#ifndef FS_HTTP_CONTENT_TYPE_H
#define FS_HTTP_CONTENT_TYPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

/* So much of a file's beginning decides. */
#define FS_SNIFF_BYTES 512

/*
 * By the extension of the path's last element, from the system's globs2 or mime.types files (read
 * on a worker, and remembered), with "; charset=utf-8" for text. In the arena; NULL for none that
 * is known.
 */
const char *fs_type_by_extension(const char *path, struct arena *arena);

/*
 * The same without touching a file: true where *ret is known (NULL is an answer), false where
 * fs_type_by_extension has to look. For the loop.
 */
bool fs_type_by_extension_cached(const char *path, struct arena *arena, const char **ret);

/* By content: mimesniff.spec.whatwg.org. Static text, never NULL. Pure. */
const char *fs_type_by_content(const void *data, size_t n);

/* Other files than the system's, for tests; NULL-ended lists. NULL: the system's. Forgets all. */
void fs_type_set_files(const char *const *globs, const char *const *types);

#endif
