/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creates directories, symbolic links and nodes that belong to a user from the first moment.
 *
 * mkdir(2) as root and chown(2) afterwards is a race: between the two calls, whoever may rename in
 * the directory puts another file of root's in the place of the new one, and is given that file.
 * So the calling thread takes the user's uid and gid for the one system call (setfsuid(2)), and
 * keeps root's capabilities: the kernel sets the owner, and root's permissions decide whether the
 * call succeeds. For the thread alone: glibc's setfsuid, unlike its setuid, changes no other
 * thread. Used on workers.
 */
#ifndef FS_CREATE_H
#define FS_CREATE_H

#include <sys/types.h>

/*
 * Creates a directory with exactly the permission bits of `mode` (01777; the umask does not count).
 * 0 or -errno; -EEXIST if the name exists. In a container that forbids unshare(2) the umask counts.
 */
int fs_create_dir(int dirfd, const char *name, mode_t mode, uid_t uid, gid_t gid);

/* Creates a symbolic link. 0 or -errno. */
int fs_create_symlink(int dirfd, const char *name, const char *target, uid_t uid, gid_t gid);

/* Creates a FIFO or a device; the umask counts. 0 or -errno. */
int fs_create_node(int dirfd, const char *name, mode_t mode, dev_t dev, uid_t uid, gid_t gid);

/*
 * Gives an open file to the user. 0 or -errno. A file system that keeps no owners, or a daemon
 * without CAP_CHOWN, refuses that: the file then keeps the owner that the mount or the kernel gave
 * it, which is no error, and the log says so once.
 */
int fs_give(int fd, uid_t uid, gid_t gid);

#endif
