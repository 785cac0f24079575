/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/netmount.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/vfs.h>

#ifndef CIFS_SUPER_MAGIC
#define CIFS_SUPER_MAGIC 0xFF534D42
#endif
#ifndef SMB2_SUPER_MAGIC
#define SMB2_SUPER_MAGIC 0xFE534D42
#endif

/* f_type is a signed word of the machine: a magic number above INT32_MAX may come back negative. */
bool fs_magic_is_network(long magic)
{
	switch ((uint32_t)magic) {
	case NFS_SUPER_MAGIC:
	case CIFS_SUPER_MAGIC:
	case SMB_SUPER_MAGIC:
	case SMB2_SUPER_MAGIC:
	case FUSE_SUPER_MAGIC:
		return true;
	default:
		return false;
	}
}

bool fs_magic_is_sizeless(long magic)
{
	switch ((uint32_t)magic) {
	case PROC_SUPER_MAGIC:
	case SYSFS_MAGIC:
	case DEBUGFS_MAGIC:
	case TRACEFS_MAGIC:
	case SECURITYFS_MAGIC:
	case CGROUP_SUPER_MAGIC:
	case CGROUP2_SUPER_MAGIC:
	case SELINUX_MAGIC:
	case BINFMTFS_MAGIC:
	case BPF_FS_MAGIC:
	case 0x62656570: /* configfs */
		return true;
	default:
		return false;
	}
}

bool fs_errno_is_dead_mount(int errnum)
{
	switch (abs(errnum)) {
	case EACCES:
	case EHOSTDOWN:
	case ENOTCONN:
	case ESTALE:
	case ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

int fs_path_is_network(const char *path, bool *ret)
{
	struct statfs st;

	while (statfs(path, &st) < 0)
		if (errno != EINTR)
			return -errno;
	*ret = fs_magic_is_network((long)st.f_type);
	return 0;
}
