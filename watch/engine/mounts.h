/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where file systems are mounted, and which of them a recursive watch does not go into:
 *
 *	network file systems (unless allowed): a server that does not answer would hang the look;
 *	the kernel's own (proc, sysfs, cgroup, …): their directories come and go without events.
 *
 * /proc/self/mountinfo (proc(5)) tells them apart before anything on them is touched: to ask a hung
 * file system for its type would hang as well.
 *
 * Safe on any thread.
 */
#ifndef WATCH_ENGINE_MOUNTS_H
#define WATCH_ENGINE_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>

struct watch_mounts;

enum watch_mount_kind {
	WATCH_MOUNT_NONE, /* nothing is mounted there */
	WATCH_MOUNT_LOCAL,
	WATCH_MOUNT_NETWORK,
	WATCH_MOUNT_KERNEL,
};

/* A larger table is cut. File systems behind the cut are not known, and gone into. */
#define WATCH_MOUNTS_MAX_BYTES (4u * 1024 * 1024)

struct watch_mounts *watch_mounts_new(void);
void watch_mounts_free(struct watch_mounts *mounts);

/* Whether something is mounted below an absolute path. Reads the table again if it has changed. */
bool watch_mounts_below(struct watch_mounts *mounts, const char *path);

/*
 * The kind of the file system on which an absolute, clean path lies by its text. Symbolic links are
 * not followed, as nothing is touched.
 */
enum watch_mount_kind watch_mounts_of(struct watch_mounts *mounts, const char *path);

/* What is mounted at exactly this path, as of the last watch_mounts_below. */
enum watch_mount_kind watch_mounts_at(struct watch_mounts *mounts, const char *path);

/* The kind of a file system type ("ext4", "fuse.sshfs"). */
enum watch_mount_kind watch_mount_kind(const char *type, size_t n);

#endif
