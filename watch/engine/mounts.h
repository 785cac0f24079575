/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of mounts: which file systems a recursive watch does not enter.
 *
 *	network file systems (unless allowed): a server that does not answer would hang the reader;
 *	the kernel's own (proc, sysfs, cgroup, …): their directories come and go without events.
 *
 * The types come from /proc/self/mountinfo (proc(5)), because asking a hung file system for its
 * type would hang as well. If the table can't be read, all file systems count as local.
 *
 * Safe on any thread.
 */
#ifndef WATCH_ENGINE_MOUNTS_H
#define WATCH_ENGINE_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>

struct watch_mounts;

enum watch_mount_kind {
	WATCH_MOUNT_NONE, /* no file system is mounted there */
	WATCH_MOUNT_LOCAL,
	WATCH_MOUNT_NETWORK,
	WATCH_MOUNT_KERNEL,
};

struct watch_mounts *watch_mounts_new(void);
void watch_mounts_free(struct watch_mounts *mounts);

/*
 * Returns true if a file system is mounted below an absolute path. Reads the table again if it has
 * changed.
 */
bool watch_mounts_below(struct watch_mounts *mounts, const char *path);

/*
 * Returns the kind of the file system of an absolute, clean path, by the text of the path. Symbolic
 * links are not followed, because no file system is accessed.
 */
enum watch_mount_kind watch_mounts_of(struct watch_mounts *mounts, const char *path);

/*
 * Returns the kind of the file system mounted at exactly this path, as of the last
 * watch_mounts_below.
 */
enum watch_mount_kind watch_mounts_at(struct watch_mounts *mounts, const char *path);

/* Returns the kind of a file system type ("ext4", "fuse.sshfs"). */
enum watch_mount_kind watch_mount_kind(const char *type);

#endif
