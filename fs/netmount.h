/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recognises kinds of file systems: network and FUSE mounts, which may block and whose contents
 * change without events on this machine; and the kernel's own, such as /proc.
 */
#ifndef FS_NETMOUNT_H
#define FS_NETMOUNT_H

#include <stdbool.h>

/* NFS, CIFS, SMB and FUSE, by the magic numbers of linux/magic.h. */
bool fs_magic_is_network(long magic);

/* File systems whose files have contents although st_size may be 0: /proc, /sys and similar. */
bool fs_magic_is_sizeless(long magic);

/*
 * Returns true if an errno (of either sign) means that a mount point exists but can't be accessed:
 * its server has died, or it is a FUSE mount that root may not use (fuse.conf(5),
 * user_allow_other).
 *
 * EIO is not such an error, because an archive leaves dead mounts out, and it must not leave out a
 * file that a disk can't read. An NFS mount with the option `soft` reports a dead server as EIO, so
 * it counts as a broken disk; with `softerr` it reports ETIMEDOUT (nfs(5)).
 */
bool fs_errno_is_dead_mount(int errnum);

/*
 * Sets *ret to whether a path is on a network or FUSE mount. On a worker, because statfs(2) can
 * block. 0 or -errno.
 */
int fs_path_is_network(const char *path, bool *ret);

#endif
