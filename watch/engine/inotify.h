/*
 * inotify: the kernel's events, decoded, and watches placed on open directories. inotify(7).
 *
 * Of inotify-tools only the kernel's header is of use here: its library keeps one instance and its
 * tables in globals, and names directories by path, so that a directory that is renamed while it
 * is being added ends up under the wrong name.
 */
#ifndef WATCH_ENGINE_INOTIFY_H
#define WATCH_ENGINE_INOTIFY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/inotify.h>
#include <sys/types.h>

/*
 * What is watched for on every directory. Writes to files that have been unlinked are left out:
 * they have no name any more.
 */
#define INOTIFY_MASK                                                                               \
	(IN_CREATE | IN_DELETE | IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO |             \
	 IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK)

/* One read(2) needs room for the longest event at least; more at once saves system calls. */
#define INOTIFY_READ_BYTES 16384

struct inotify_record {
	int wd; /* -1: IN_Q_OVERFLOW */
	uint32_t mask;
	uint32_t cookie;
	const char *name; /* borrowed from the buffer, ended by a NUL; "": the directory itself */
	size_t name_bytes;
};

/*
 * Decodes the event at the beginning of the n bytes at p, which need not be aligned. Returns its
 * length in bytes, 0 where n is 0, or -EBADMSG: the kernel never gives part of an event, nor a
 * name without its NUL.
 */
ssize_t inotify_decode(const char *p, size_t n, struct inotify_record *ret);

/*
 * Watches the open directory `dirfd` itself, whatever its path is by now. The watch descriptor,
 * or -errno (-ENOSPC: max_user_watches). On a worker: the thread stands in the directory from then
 * on, and thread_leave_dir must follow (base/thread.h).
 */
int inotify_watch_fd(int inotify_fd, int dirfd);

/* Forgets the watch. One that the kernel has dropped already is fine. */
void inotify_unwatch(int inotify_fd, int wd);

#endif
