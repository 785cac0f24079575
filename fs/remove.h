/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The removal of a file, or of a directory with everything in it; on a worker, in steps.
 *
 * It goes down by descriptors and never follows a link (fs/dirs.h), holds no list of names, and
 * goes on past what can't be removed, so that as much as possible is gone at the end.
 */
#ifndef FS_REMOVE_H
#define FS_REMOVE_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/dirs.h"

/*
 * While others create files in a directory that is being emptied, it is read again, so many times
 * at most; then it is -ENOTEMPTY.
 */
#define FS_REMOVE_PASSES 16

struct fs_remove_level;

struct fs_remove {
	int error; /* the first -errno, 0 where all is gone */
	bool finished;

	/* The rest is the removal's own. */
	char *name; /* in the top of dirs, to be removed in the end */
	struct fs_dirs dirs;
	struct fs_remove_level *levels;
	size_t levels_capacity;
};

/*
 * Removes what is at once removable, a file or an empty directory, and prepares for the rest.
 * What is absent counts as removed. A slash at the end of the path does not count. Refused with
 * -EINVAL: "/", and a path that ends in "." or "..", for it does not name what it would remove.
 */
void fs_remove_begin(struct fs_remove *remove, const char *path);

/* Goes on for about so long, at least by a little. Returns remove->finished. */
bool fs_remove_step(struct fs_remove *remove, uint64_t max_ms);

void fs_remove_clear(struct fs_remove *remove);

#endif
