/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removes a file, or a directory with all its contents; on a worker, in steps:
 *
 *	fs_remove_begin → fs_remove_step until it returns true → fs_remove_clear
 *
 * The walk goes down by descriptors and follows no link (fs/dirs.h). It holds no list of names. If
 * an entry can't be removed, the removal continues with the next one.
 */
#ifndef FS_REMOVE_H
#define FS_REMOVE_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/dirs.h"

/*
 * The maximum number of passes over one directory. If other processes still create files in the
 * directory after the last pass, its removal fails with -ENOTEMPTY.
 */
#define FS_REMOVE_PASSES 16

struct fs_remove_level;

struct fs_remove {
	int error; /* the first failure as -errno; 0 if everything was removed */
	bool finished;

	/* The fields below are private. */
	char *name; /* the directory to remove at the end, in the top of dirs */
	struct fs_dirs dirs;
	struct fs_remove_level *levels;
	size_t levels_capacity;
};

/*
 * Removes a file or an empty directory at once; for another directory, prepares the steps. A path
 * that does not exist is no error. Slashes at the end of the path are ignored. "/" and a path that
 * ends in "." or ".." are refused with -EINVAL, because they do not name the directory.
 */
void fs_remove_begin(struct fs_remove *remove, const char *path);

/*
 * Removes entries for about max_ms; makes progress even if max_ms is 0. Returns remove->finished.
 */
bool fs_remove_step(struct fs_remove *remove, uint64_t max_ms);

void fs_remove_clear(struct fs_remove *remove);

#endif
