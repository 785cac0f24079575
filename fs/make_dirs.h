/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories that are made on the way to a file: 0755, given to the user.
 */
#ifndef FS_MAKE_DIRS_H
#define FS_MAKE_DIRS_H

#include <sys/types.h>

#include "base/error.h"

/*
 * Makes the directory and what is missing above it. The path is absolute and taken as it is but
 * for the part before its last slash, which is cleaned. What exists stays as it is, its owner
 * too. 0; 1 where the directory itself was there already; or -1 with ERROR_INTERNAL and *ret_errno
 * (NULL is fine) set to a negative errno. On a worker.
 */
int fs_make_dirs(const char *path, uid_t uid, gid_t gid, struct error *err, int *ret_errno);

/* The same for the directories above a path, all that is before its last slash: 0 or -1. */
int fs_make_parents(const char *path, uid_t uid, gid_t gid, struct error *err, int *ret_errno);

#endif
