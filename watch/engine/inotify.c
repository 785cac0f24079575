/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/engine/inotify.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/thread.h"

ssize_t inotify_decode(const char *p, size_t n, struct inotify_record *ret)
{
	struct inotify_event event;
	const char *end;

	if (n == 0)
		return 0;
	if (n < sizeof(event))
		return -EBADMSG;
	memcpy(&event, p, sizeof(event));
	if (event.len > n - sizeof(event))
		return -EBADMSG;
	*ret = (struct inotify_record){event.wd, event.mask, event.cookie, "", 0};
	if (event.len > 0) {
		/* The name is padded with NULs. */
		end = memchr(p + sizeof(event), '\0', event.len);
		if (!end)
			return -EBADMSG;
		ret->name = p + sizeof(event);
		ret->name_bytes = (size_t)(end - ret->name);
	}
	return (ssize_t)(sizeof(event) + event.len);
}

/*
 * inotify_add_watch(2) takes a path only. With the directory as working directory the path is ".",
 * which takes a third less time than /proc/self/fd/N. Where a container forbids unshare(2), which
 * thread_enter_dir needs, the path through /proc is used.
 */
int inotify_watch_fd(int inotify_fd, int dirfd)
{
	char path[32];
	int wd;

	if (inotify_fd < 0)
		return -ENOSPC;
	if (thread_enter_dir(dirfd) == 0) {
		wd = inotify_add_watch(inotify_fd, ".", INOTIFY_MASK);
	} else {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", dirfd);
		wd = inotify_add_watch(inotify_fd, path, INOTIFY_MASK);
	}
	return wd < 0 ? -errno : wd;
}

void inotify_unwatch(int inotify_fd, int wd)
{
	inotify_rm_watch(inotify_fd, wd);
}
