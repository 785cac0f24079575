/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/engine/reach.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "watch/engine/inotify.h"
#include "watch/engine/mounts.h"
#include "watch/engine/source.h"

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK)

/* Opens an absolute path of any length, in pieces below PATH_MAX. A descriptor or -errno. */
static int open_path(char *path, int flags)
{
	int dirfd = AT_FDCWD, fd;
	char *piece = path, *cut;
	size_t left = strlen(path);

	while (left >= PATH_MAX) {
		for (cut = piece + PATH_MAX - 1; *cut != '/'; cut--)
			if (cut == piece)
				return -ENAMETOOLONG;
		*cut = '\0';
		fd = openat(dirfd, piece, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		*cut = '/';
		if (dirfd >= 0)
			fd_close(&dirfd);
		if (fd < 0)
			return -errno;
		dirfd = fd;
		left -= (size_t)(cut + 1 - piece);
		piece = cut + 1;
	}
	fd = openat(dirfd, piece, flags);
	if (fd < 0)
		fd = -errno;
	if (dirfd >= 0)
		fd_close(&dirfd);
	return fd;
}

/* Opens the directory at an absolute path. A descriptor; -ESTALE if it is another one; -errno. */
static int open_same(char *path, dev_t dev, ino_t ino)
{
	struct stat st;
	int r = 0, fd = open_path(path, DIR_FLAGS);

	if (fd < 0)
		return fd;
	/* An error does not show that the path leads to another directory. */
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (st.st_dev != dev || st.st_ino != ino)
		r = -ESTALE;
	if (r == 0)
		return fd;
	fd_close(&fd);
	return r;
}

int watch_open_node(struct watch_node *node)
{
	size_t bytes;

	if (!watch_node_path(node, NULL, 0, true, &bytes))
		return -ESTALE;
	return open_same(node->tree->source->path, node->dev, node->ino);
}

/* Returns true if a directory is the root of a file system that the watch does not enter. */
static bool is_barred(struct watch_node *parent, const char *name, size_t n)
{
	struct watch_source *source = parent->tree->source;
	enum watch_mount_kind kind;
	const char *path;
	size_t bytes;

	path = watch_node_path(parent, name, n, true, &bytes);
	kind = path ? watch_mounts_at(source->mounts, path) : WATCH_MOUNT_NONE;
	return kind == WATCH_MOUNT_KERNEL ||
	       (kind == WATCH_MOUNT_NETWORK && !parent->tree->network);
}

/*
 * Watches and examines an open directory. Takes ownership of the descriptor, which may also be the
 * -errno of a failed open.
 */
static void see_open(int inotify_fd, int fd, struct watch_seen *ret)
{
	ret->fd = fd;
	if (fd < 0)
		return;
	ret->wd = fstat(fd, &ret->st) < 0 ? -errno : inotify_watch_fd(inotify_fd, fd);
	/* The kernel has no memory for a watch: handled as a reached limit. */
	if (ret->wd == -ENOMEM)
		ret->wd = -ENOSPC;
	if (ret->wd >= 0 || ret->wd == -ENOSPC)
		return;
	fd_close(&ret->fd);
	ret->fd = ret->wd;
}

void watch_see_child(struct watch_node *parent, int dirfd, uint32_t place, bool mounts_below,
		     struct watch_seen *ret)
{
	const char *name = watch_names_text(&parent->names, place);
	int fd = -EXDEV;

	if (!mounts_below || !is_barred(parent, name, watch_names_bytes(&parent->names, place))) {
		fd = openat(dirfd, name, DIR_FLAGS | O_NOFOLLOW);
		fd = fd < 0 ? -errno : fd;
	}
	see_open(parent->tree->source->fd, fd, ret);
}

void watch_see_node(struct watch_node *node, bool mounts_below, struct watch_seen *ret)
{
	const struct watch_tree *tree = node->tree;
	int dirfd;

	if (!node->parent) {
		see_open(tree->source->fd, open_same(tree->path, tree->dev, tree->ino), ret);
		return;
	}
	dirfd = watch_open_node(node->parent);
	if (dirfd < 0) {
		ret->fd = -ESTALE;
		return;
	}
	watch_see_child(node->parent, dirfd, node->place, mounts_below, ret);
	fd_close(&dirfd);
}
