/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that is replaced as a whole: made beside the old one, with its owner, mode and extended
 * attributes, and renamed over it. Used by fs/http/target.c; on a worker.
 */
#ifndef FS_HTTP_ATOMIC_H
#define FS_HTTP_ATOMIC_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

struct fs_atomic;

/*
 * Begins to replace the file at `path` (a link is followed, also one that leads nowhere yet), whose
 * directory exists. Returns owned memory in *ret, and the descriptor to write to in *ret_fd, which
 * the caller closes; `old` has st_nlink 0 where there is no file. 0 or -errno.
 */
int fs_atomic_begin(const char *path, uid_t uid, gid_t gid, struct fs_atomic **ret, int *ret_fd);

/* What the file was that is to be replaced, at this moment. 0 or -errno. */
int fs_atomic_stat_old(const struct fs_atomic *a, struct stat *ret);

/* Puts the new file in the old one's place. 0 or -errno, and then the old one is as it was. */
int fs_atomic_commit(struct fs_atomic *a, int fd, bool sync);

/* Forgets it; removes what was not committed. NULL is fine. */
void fs_atomic_free(struct fs_atomic *a);

#endif
