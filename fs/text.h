/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths and errors of the file system in the form that a client reads. No I/O.
 */
#ifndef FS_TEXT_H
#define FS_TEXT_H

#include "base/arena.h"
#include "base/error.h"

/*
 * Returns the last element of a path. Trailing slashes do not count; the last element of "/" is
 * "/". In the arena.
 */
char *fs_path_name(const char *path, struct arena *arena);

/*
 * Makes a file name valid UTF-8, as protobuf and JSON require. Returns `s` itself if it is valid,
 * else a copy in the arena with U+FFFD in the place of each invalid byte.
 */
const char *fs_text(const char *s, struct arena *arena);

/*
 * The error code for a system call that failed: ERROR_RESOURCE_EXHAUSTED if space, inodes or a
 * quota are used up, else ERROR_INTERNAL. errnum has either sign.
 */
enum error_code fs_errno_code(int errnum);

#endif
