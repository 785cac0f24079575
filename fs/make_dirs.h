/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the missing directories of a path, with mode 0755 and the user as their owner
 * (compatibility/files).
 */
#ifndef FS_MAKE_DIRS_H
#define FS_MAKE_DIRS_H

#include <sys/types.h>

#include "base/error.h"

/*
 * Makes the directory and its missing parents, on a worker. The path is absolute; the part before
 * its last slash is cleaned lexically. Directories that exist keep owner and mode. Returns 0; 1 if
 * the directory itself existed; or -1 with ERROR_INTERNAL, and a negative errno in *ret_errno
 * (ret_errno may be NULL).
 */
int fs_make_dirs(const char *path, uid_t uid, gid_t gid, struct error *err, int *ret_errno);

/* Makes the missing directories in the part of a path before its last slash. Errors as above. */
int fs_make_parents(const char *path, uid_t uid, gid_t gid, struct error *err, int *ret_errno);

#endif
