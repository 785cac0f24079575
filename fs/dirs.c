/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/mem.h"

#define OPEN_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)

/* Puts an open directory on top. Takes fd. */
static int add_level(struct fs_dirs *dirs, int fd, const char *name)
{
	struct fs_dirs_level *level;
	struct stat st;

	if (fstat(fd, &st) < 0) {
		int r = -errno;

		fd_close(&fd);
		return r;
	}
	if (dirs->n == dirs->capacity) {
		dirs->capacity = dirs->capacity ? dirs->capacity * 2 : 16;
		dirs->levels = mem_realloc(dirs->levels, dirs->capacity * sizeof(*dirs->levels));
	}
	level = &dirs->levels[dirs->n++];
	*level = (struct fs_dirs_level){fd, st.st_dev, st.st_ino, name ? mem_strdup(name) : NULL};
	/* The top stays open: reopen_from_top starts there. */
	if (dirs->n > FS_DIRS_OPEN + 1)
		fd_close(&dirs->levels[dirs->n - FS_DIRS_OPEN].fd);
	return 0;
}

int fs_dirs_init(struct fs_dirs *dirs, int fd)
{
	memset(dirs, 0, sizeof(*dirs));
	return add_level(dirs, fd, NULL);
}

void fs_dirs_clear(struct fs_dirs *dirs)
{
	size_t i;

	for (i = 0; i < dirs->n; i++) {
		fd_close(&dirs->levels[i].fd);
		free(dirs->levels[i].name);
	}
	free(dirs->levels);
	memset(dirs, 0, sizeof(*dirs));
}

int fs_dirs_fd(const struct fs_dirs *dirs)
{
	return dirs->levels[dirs->n - 1].fd;
}

int fs_dirs_push(struct fs_dirs *dirs, const char *name)
{
	int fd = openat(fs_dirs_fd(dirs), name, OPEN_FLAGS);

	return fd < 0 ? -errno : add_level(dirs, fd, name);
}

/* Opens `name` in `dirfd` if it is the directory of `level`. Returns the fd or -1. */
static int open_level(int dirfd, const char *name, const struct fs_dirs_level *level)
{
	FD_AUTO int fd = openat(dirfd, name, OPEN_FLAGS);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_dev != level->dev || st.st_ino != level->ino)
		return -1;
	return fd_take(&fd);
}

/* Opens the last level again, by the names from the top to it. */
static void reopen_from_top(struct fs_dirs *dirs)
{
	FD_AUTO int fd = -1;
	int next;
	size_t i;

	for (i = 1; i < dirs->n; i++) {
		next = open_level(i == 1 ? dirs->levels[0].fd : fd, dirs->levels[i].name,
				  &dirs->levels[i]);
		fd_close(&fd);
		if (next < 0)
			return;
		fd = next;
	}
	dirs->levels[dirs->n - 1].fd = fd_take(&fd);
}

char *fs_dirs_pop(struct fs_dirs *dirs)
{
	struct fs_dirs_level left = dirs->levels[--dirs->n];
	struct fs_dirs_level *level = &dirs->levels[dirs->n - 1];

	if (level->fd < 0 && left.fd >= 0)
		level->fd = open_level(left.fd, "..", level);
	if (level->fd < 0)
		reopen_from_top(dirs);
	fd_close(&left.fd);
	return left.name;
}
