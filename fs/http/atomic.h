/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replaces a file as a whole: the new file is written beside the old one, gets its mode, owner and
 * extended attributes, and is renamed over it. Used by fs/http/target.c; on a worker.
 *
 * The new file has no name until the end (O_TMPFILE, open(2)). If the file system does not support
 * O_TMPFILE, the new file is named ".envd-<16 hexadecimal digits>.tmp" and locked by flock(2). A
 * daemon that is killed leaves such a file behind; the next upload into the directory removes the
 * ones that are not locked.
 */
#ifndef FS_HTTP_ATOMIC_H
#define FS_HTTP_ATOMIC_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

struct fs_atomic;

struct fs_atomic_options {
	uid_t uid; /* the owner of the new file if the path does not exist yet */
	gid_t gid;
	bool give; /* uid and gid also own a file that replaces another */
};

/*
 * Begins to replace the file at `path`, whose directory exists; links at its end are followed.
 * Returns owned memory in *ret, and in *ret_fd the descriptor to write to, which the caller closes.
 * 0 or -errno; -EISDIR or -ENODEV if the path is not a regular file.
 */
int fs_atomic_begin(const char *path, const struct fs_atomic_options *options,
		    struct fs_atomic **ret, int *ret_fd);

/* Reads the present status of the file to be replaced. 0 or -errno. */
int fs_atomic_stat_old(const struct fs_atomic *a, struct stat *ret);

/*
 * Puts the new file in its place. `exclusive`: fails with -EEXIST if the path exists, which the
 * kernel checks atomically. `sync`: writes the directory to the disk. 0 or -errno; after an error
 * the old file is unchanged.
 */
int fs_atomic_commit(struct fs_atomic *a, int fd, bool exclusive, bool sync);

/* Removes a new file that was not committed, and frees. Accepts NULL. */
void fs_atomic_free(struct fs_atomic *a);

/* Removes the temporary files in a directory that no upload has locked. */
void fs_atomic_sweep(int dirfd);

#endif
