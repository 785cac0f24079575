/*
 * Where file systems are mounted, and which of them a recursive watch does not go into.
 *
 * Those are network file systems (unless allowed), because a server that does not answer would
 * hang the look at them, and the kernel's own (proc, sysfs, cgroups …), whose directories come and
 * go without events. They are told apart by /proc/self/mountinfo, before anything of theirs is
 * touched: asking a hung file system for its type would hang as well. proc(5).
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

/* Larger tables are cut: what is behind is unknown, and gone into. */
#define WATCH_MOUNTS_MAX_BYTES (4u * 1024 * 1024)

struct watch_mounts *watch_mounts_new(void);
void watch_mounts_free(struct watch_mounts *mounts);

/* Whether anything is mounted below this absolute path. Reads the table again if it changed. */
bool watch_mounts_below(struct watch_mounts *mounts, const char *path);

/*
 * The kind of the file system that an absolute, clean path lies on by its text: links in it are
 * not followed, for nothing is touched.
 */
enum watch_mount_kind watch_mounts_of(struct watch_mounts *mounts, const char *path);

/* What is mounted at this very path, as of the last watch_mounts_below. */
enum watch_mount_kind watch_mounts_at(struct watch_mounts *mounts, const char *path);

/* Of the name of a file system type ("ext4", "fuse.sshfs"). */
enum watch_mount_kind watch_mount_kind(const char *type, size_t n);

#endif
