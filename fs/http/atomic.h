/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replaces a file as a whole: the new file is written beside the old one, gets its mode, owner and
 * extended attributes, and is renamed over it. Used by fs/http/target.c; on a worker.
 *
 * The new file has no name until the end (O_TMPFILE, open(2)). Where the file system can't do that
 * it is called ".envd-<16 hexadecimal digits>.tmp" and locked by flock(2); a daemon that is killed
 * leaves it behind, and the next upload into the directory removes those that nobody has locked.
 */
#ifndef FS_HTTP_ATOMIC_H
#define FS_HTTP_ATOMIC_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

struct fs_atomic;

struct fs_atomic_options {
	uid_t uid; /* the owner of a file that replaces none */
	gid_t gid;
	bool give; /* also of one that replaces another */
};

/*
 * Begins to replace the file at `path`, whose directory exists; links at its end are followed.
 * Returns owned memory in *ret, and in *ret_fd the descriptor to write to, which the caller closes.
 * 0 or -errno: -EISDIR, -ENODEV if the path is no regular file.
 */
int fs_atomic_begin(const char *path, const struct fs_atomic_options *options,
		    struct fs_atomic **ret, int *ret_fd);

/* The status of the file to be replaced, at this moment. 0 or -errno. */
int fs_atomic_stat_old(const struct fs_atomic *a, struct stat *ret);

/*
 * Puts the new file in its place. `exclusive`: -EEXIST if there is a file by now, which the kernel
 * decides. `sync`: the directory is on the disk afterwards. 0 or -errno, and then the old file is
 * unchanged.
 */
int fs_atomic_commit(struct fs_atomic *a, int fd, bool exclusive, bool sync);

/* Removes what was not committed, and frees. NULL is fine. */
void fs_atomic_free(struct fs_atomic *a);

/* Removes the temporary files in a directory that no upload has locked. */
void fs_atomic_sweep(int dirfd);

#endif
