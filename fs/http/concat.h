/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Concatenates files for /files/compose, with copies inside the kernel if possible. On a worker.
 */
#ifndef FS_HTTP_CONCAT_H
#define FS_HTTP_CONCAT_H

#include <stddef.h>
#include <sys/types.h>

#include "fs/http/request.h"

/*
 * Concatenates the sources into a new file beside the destination, gives it to the user, renames
 * it to the destination (which may exist) and removes the sources. On -1 no file has changed.
 */
int fs_concat(char *const *sources, size_t n, const char *destination, uid_t uid, gid_t gid,
	      struct error *err);

#endif
