/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The place where a path leads: an open directory and a name in it, which may not exist yet.
 *
 * Symbolic links at the end of the path are followed, also one whose target does not exist; so a
 * file can be created with O_EXCL, or by a rename, where open(2) with O_CREAT would create it. As
 * open(2) does with fs.protected_symlinks = 1 (proc_sys_fs(5)), a link in a sticky directory that
 * everybody may write to is followed only if root or the directory's owner owns it.
 */
#ifndef FS_PLACE_H
#define FS_PLACE_H

struct fs_place {
	int dirfd; /* -1: none */
	char *name;
};

/*
 * Finds the place of an absolute path. The caller clears *ret. 0 or -errno: -ENOENT if the
 * directory does not exist, -EACCES for a link that is not followed, -EISDIR for a path that ends
 * in a slash.
 */
int fs_place_find(const char *path, struct fs_place *ret);

/* Closes and frees; also a place that was never found, with a dirfd of -1. */
void fs_place_clear(struct fs_place *place);

#endif
