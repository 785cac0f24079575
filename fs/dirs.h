/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stack of open directories: where a walk through a tree stands.
 *
 * Every step down is openat(2) by a single name and never follows a link, so that a tree which
 * changes underneath can't lead the walk out of it. Only FS_DIRS_OPEN descriptors are held however
 * deep the tree: the others are closed, and opened again on the way up by "..", which counts only
 * if it leads to the very directory (device and inode) that the walk came from.
 */
#ifndef FS_DIRS_H
#define FS_DIRS_H

#include <stddef.h>
#include <sys/types.h>

#define FS_DIRS_OPEN 32

struct fs_dirs_level {
	int fd; /* -1: closed for now */
	dev_t dev;
	ino_t ino;
	char *name; /* in the level above; NULL for the top */
};

struct fs_dirs {
	struct fs_dirs_level *levels;
	size_t n; /* the walk stands in levels[n - 1] */
	size_t capacity;
};

/* Begins with an open directory. Takes fd, also on failure. 0 or -errno. */
int fs_dirs_init(struct fs_dirs *dirs, int fd);
void fs_dirs_clear(struct fs_dirs *dirs);

/* The directory the walk stands in, -1 where it can't be reached any more. Borrowed. */
int fs_dirs_fd(const struct fs_dirs *dirs);

/*
 * Steps down. 0 or -errno: -ENOENT, -ENOTDIR, -ELOOP (a link) where it is no directory any more.
 */
int fs_dirs_push(struct fs_dirs *dirs, const char *name);

/*
 * Steps up from a level below the top. Returns the name of the level that was left, owned. The
 * directory it comes to may be out of reach, because someone moved it: then fs_dirs_fd is -1, and
 * there is nothing to do but to go further up.
 */
char *fs_dirs_pop(struct fs_dirs *dirs);

#endif
