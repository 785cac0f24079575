/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inotify(7): decodes the kernel's events, and places watches on open directories.
 *
 * The library of inotify-tools is not used. It keeps one instance and its tables in globals, and
 * names directories by path, so a directory that is renamed while it is added gets a wrong name.
 */
#ifndef WATCH_ENGINE_INOTIFY_H
#define WATCH_ENGINE_INOTIFY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/inotify.h>
#include <sys/types.h>

/*
 * The requested events. IN_EXCL_UNLINK leaves out writes to unlinked files, which have no name any
 * more.
 */
#define INOTIFY_MASK                                                                               \
	(IN_CREATE | IN_DELETE | IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO |             \
	 IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK)

/* The size of one read(2). It must hold the longest event; more saves system calls. */
#define INOTIFY_READ_BYTES 16384

struct inotify_record {
	int wd; /* -1: IN_Q_OVERFLOW */
	uint32_t mask;
	uint32_t cookie;
	const char *name; /* borrowed from the buffer, ended by a NUL; "": the directory itself */
	size_t name_bytes;
};

/*
 * Decodes the event at the beginning of the n bytes at p, which need not be aligned. Returns the
 * length of the event in bytes; 0 if n is 0; -EBADMSG for a part of an event, or for a name without
 * its NUL.
 */
ssize_t inotify_decode(const char *p, size_t n, struct inotify_record *ret);

/*
 * Places a watch on the open directory `dirfd`, independent of its path. Returns the watch
 * descriptor, or -errno; -ENOSPC: max_user_watches is reached, or inotify_fd is -1. Call it on a
 * worker: the directory becomes the thread's working directory, and thread_leave_dir must follow
 * (base/thread.h).
 */
int inotify_watch_fd(int inotify_fd, int dirfd);

/* Removes a watch. Ignores a watch that the kernel has already removed. */
void inotify_unwatch(int inotify_fd, int wd);

#endif
