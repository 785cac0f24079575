/*
 * Whether a path lies on a file system whose contents change, or block, beyond this machine.
 */
#ifndef FS_NETMOUNT_H
#define FS_NETMOUNT_H

#include <stdbool.h>

/* NFS, CIFS, SMB and FUSE, by the magic numbers of linux/magic.h. */
bool fs_magic_is_network(long magic);

/* Asks statfs(2), which can block: on a worker. 0 or -errno. */
int fs_path_is_network(const char *path, bool *ret);

#endif
