/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stack of open directories: the current position of a walk through a tree.
 *
 * Each step down is an openat(2) of a single name with O_NOFOLLOW, so a tree that others change
 * during the walk can't lead the walk out of the tree. The stack keeps about FS_DIRS_OPEN
 * descriptors, whatever the depth: the top and the lowest levels stay open. A closed level is
 * opened again on the way up, by ".." or by the names from the top. It is accepted if device and
 * inode are the same as before.
 */
#ifndef FS_DIRS_H
#define FS_DIRS_H

#include <stddef.h>
#include <sys/types.h>

#define FS_DIRS_OPEN 32

struct fs_dirs_level {
	int fd; /* -1: closed at present */
	dev_t dev;
	ino_t ino;
	char *name; /* in the level above; NULL for the top */
};

struct fs_dirs {
	struct fs_dirs_level *levels;
	size_t n; /* the current directory is levels[n - 1] */
	size_t capacity;
};

/* Begins with an open directory. Takes fd, also on failure. 0 or -errno. */
int fs_dirs_init(struct fs_dirs *dirs, int fd);
void fs_dirs_clear(struct fs_dirs *dirs);

/* Returns the current directory, borrowed; -1 if it can't be reached any more. */
int fs_dirs_fd(const struct fs_dirs *dirs);

/*
 * Steps down into `name`. 0 or -errno: -ENOENT, -ENOTDIR or -ELOOP (a link) if `name` is not a
 * directory any more.
 */
int fs_dirs_push(struct fs_dirs *dirs, const char *name);

/*
 * Steps up from a level below the top. Returns the name of the level that was left; the caller
 * frees the name. If another process has moved the upper directory, it may be out of reach: then
 * fs_dirs_fd returns -1, and the caller can only step up again.
 */
char *fs_dirs_pop(struct fs_dirs *dirs);

#endif
