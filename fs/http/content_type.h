/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the media type of a file (compatibility/details 33): by its extension, else by its content.
 */
#ifndef FS_HTTP_CONTENT_TYPE_H
#define FS_HTTP_CONTENT_TYPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

/* The number of bytes at the beginning of a file that fs_type_by_content examines. */
#define FS_SNIFF_BYTES 512

/*
 * Finds the type by the path's extension in the system's globs2 or mime.types files, and adds
 * "; charset=utf-8" for text. Returns the type in the arena, or NULL if it is unknown. Reads the
 * files at the first call, so it runs on a worker.
 */
const char *fs_type_by_extension(const char *path, struct arena *arena);

/* Finds the type by content (mimesniff.spec.whatwg.org). Static text, never NULL. No I/O. */
const char *fs_type_by_content(const void *data, size_t n);

/*
 * For tests: sets the files to read, as lists that end in NULL. A list that is NULL stands for the
 * system's files. Clears the cache.
 */
void fs_type_set_files(const char *const *globs, const char *const *types);

#endif
