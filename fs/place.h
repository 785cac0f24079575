/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resolves a path to an open directory and a name in it. The name may not exist yet. The caller can
 * then create a file with O_EXCL, or by a rename, at the place where open(2) with O_CREAT would
 * create it.
 *
 * Symbolic links at the end of the path are followed, even if the target does not exist. As open(2)
 * does with fs.protected_symlinks = 1 (proc_sys_fs(5)), a link in a sticky, world-writable
 * directory is followed if root or the directory's owner owns the link; otherwise it is refused.
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

/* Closes and frees. Does nothing to a place with dirfd -1 and name NULL. */
void fs_place_clear(struct fs_place *place);

#endif
