/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of cgroup.events and memory.events, reported by inotify. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "pty/cgroup/cgroups.h"

#define READ_BYTES 4096

static struct cgroup_watch_list *bucket(struct cgroups *c, int id)
{
	return &c->watches[(unsigned)id % CGROUPS_WATCH_BUCKETS];
}

static void emit(struct cgroups *c, int id)
{
	struct cgroup_watch *watch;

	LIST_FOREACH (watch, bucket(c, id), link) {
		if (watch->id != id)
			continue;
		watch->changed(watch);
		return;
	}
}

/* One read a turn: if events remain, the loop wakes up again. */
static void inotify_readable(evutil_socket_t fd, short what, void *arg)
{
	union {
		struct inotify_event align;
		char bytes[READ_BYTES];
	} buffer;
	const struct inotify_event *event;
	struct cgroups *c = arg;
	ssize_t n = read(c->inotify_fd, buffer.bytes, sizeof(buffer.bytes)), at = 0;

	while (at < n) {
		event = (const void *)(buffer.bytes + at);
		at += (ssize_t)(sizeof(*event) + event->len);
		/* IN_IGNORED is skipped: the code that removes the cgroup calls cgroups_unwatch. */
		if (event->mask & IN_MODIFY)
			emit(c, event->wd);
	}
}

static int start(struct cgroups *c)
{
	c->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (c->inotify_fd < 0)
		return -errno;
	fd_event_init(&c->inotify_event, c->loop, c->inotify_fd, EV_READ | EV_PERSIST,
		      inotify_readable, c);
	fd_event_add(&c->inotify_event);
	return 0;
}

int cgroups_watch(struct cgroups *c, struct cgroup_watch *watch, const char *path)
{
	char absolute[PATH_MAX];
	int r;

	if ((size_t)snprintf(absolute, sizeof(absolute), "%s/%s", c->root, path) >=
	    sizeof(absolute))
		return -ENAMETOOLONG;
	if (c->inotify_fd < 0) {
		r = start(c);
		if (r < 0)
			return r;
	}
	watch->id = inotify_add_watch(c->inotify_fd, absolute, IN_MODIFY);
	if (watch->id < 0)
		return -errno;
	LIST_INSERT_HEAD(bucket(c, watch->id), watch, link);
	return 0;
}

void cgroups_unwatch(struct cgroups *c, struct cgroup_watch *watch)
{
	if (watch->id < 0)
		return;
	inotify_rm_watch(c->inotify_fd, watch->id);
	LIST_REMOVE(watch, link);
	watch->id = -1;
}
