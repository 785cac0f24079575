/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creates directories, symbolic links and nodes that belong to a user from the first moment.
 *
 * mkdir(2) as root followed by chown(2) is a race: between the two calls, a user who may rename in
 * the directory can put another file of root in the place of the new one, and chown(2) gives that
 * file to the user. Therefore the calling thread takes the user's uid and gid for the one system
 * call (setfsuid(2)) and keeps root's capabilities: the kernel sets the owner, and root's
 * permissions decide whether the call succeeds. Other threads are not affected: glibc's setfsuid,
 * unlike its setuid, changes the calling thread alone. Runs on workers.
 */
#ifndef FS_CREATE_H
#define FS_CREATE_H

#include <stdint.h>
#include <sys/types.h>

/*
 * Creates a directory with exactly the permission bits of `mode` (within 01777); the umask is not
 * applied, except in a container that forbids unshare(2). 0 or -errno; -EEXIST if the name exists.
 */
int fs_create_dir(int dirfd, const char *name, mode_t mode, uid_t uid, gid_t gid);

/* Creates a symbolic link. 0 or -errno. */
int fs_create_symlink(int dirfd, const char *name, const char *target, uid_t uid, gid_t gid);

/* Creates a FIFO or a device; the umask is applied. 0 or -errno. */
int fs_create_node(int dirfd, const char *name, mode_t mode, dev_t dev, uid_t uid, gid_t gid);

/*
 * Returns a random number, for the name of a temporary file. Waits until the kernel's generator is
 * ready (getrandom(2)).
 */
uint64_t fs_random(void);

/*
 * Gives an open file to the user. 0 or -errno. fchown(2) is refused if the file system keeps no
 * owners or if the daemon lacks CAP_CHOWN. A refusal is not an error: the file keeps its owner, and
 * the first refusal is logged.
 */
int fs_give(int fd, uid_t uid, gid_t gid);

#endif
