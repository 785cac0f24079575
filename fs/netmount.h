/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kinds of file systems: those whose contents change, or block, beyond this machine, and those that
 * are the kernel's.
 */
#ifndef FS_NETMOUNT_H
#define FS_NETMOUNT_H

#include <stdbool.h>

/* NFS, CIFS, SMB and FUSE, by the magic numbers of linux/magic.h. */
bool fs_magic_is_network(long magic);

/* File systems whose files have contents that st_size does not know: /proc, /sys and their like. */
bool fs_magic_is_sizeless(long magic);

/*
 * Whether an errno (of either sign) says that a mount point can't be looked at, rather than that it
 * is gone: its server died, or it is a FUSE mount that root may not use (fuse.conf(5),
 * user_allow_other).
 */
bool fs_errno_is_dead_mount(int errnum);

/* Asks statfs(2), which can block: on a worker. 0 or -errno. */
int fs_path_is_network(const char *path, bool *ret);

#endif
