/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

/* The number of links in a row that the kernel follows (path_resolution(7)). */
#define LINKS_MAX 40

/* The rule of may_follow_link() in the kernel's fs/namei.c. */
static bool may_follow(int dirfd, const struct stat *link)
{
	struct stat dir;

	if (fstat(dirfd, &dir) < 0)
		return false;
	if ((dir.st_mode & (S_ISVTX | S_IWOTH)) != (S_ISVTX | S_IWOTH))
		return true;
	return link->st_uid == geteuid() || link->st_uid == dir.st_uid;
}

/* Opens the directory of a path. 0 or -errno. */
static int open_parent(const char *path, struct fs_place *place)
{
	const char *slash = strrchr(path, '/');
	char *dir;

	if (!slash)
		return -EINVAL;
	if (!slash[1])
		return -EISDIR;
	place->name = mem_strdup(slash + 1);
	dir = mem_strndup(path, slash == path ? 1 : (size_t)(slash - path));
	place->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(dir);
	return place->dirfd < 0 ? -errno : 0;
}

/*
 * Reads the link at the place. Returns 0 or -errno. *ret is the path of the target, which the
 * caller frees, or NULL if the place is not a link.
 */
static int read_link(const struct fs_place *place, const char *path, char **ret)
{
	FD_AUTO int fd = openat(place->dirfd, place->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char target[PATH_MAX];
	size_t dir_bytes;
	struct stat st;
	ssize_t n;

	*ret = NULL;
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISLNK(st.st_mode))
		return 0;
	if (!may_follow(place->dirfd, &st))
		return -EACCES;
	n = readlinkat(fd, "", target, sizeof(target));
	if (n <= 0 || n == sizeof(target))
		return n < 0 ? -errno : -ENAMETOOLONG;
	dir_bytes = target[0] == '/' ? 0 : (size_t)(strrchr(path, '/') + 1 - path);
	*ret = mem_alloc(dir_bytes + (size_t)n + 1);
	memcpy(*ret, path, dir_bytes);
	memcpy(*ret + dir_bytes, target, (size_t)n);
	(*ret)[dir_bytes + (size_t)n] = '\0';
	return 0;
}

int fs_place_find(const char *path, struct fs_place *ret)
{
	char *current = mem_strdup(path), *next = NULL;
	int i, r = -ELOOP;

	*ret = (struct fs_place){.dirfd = -1};
	for (i = 0; i < LINKS_MAX; i++) {
		r = open_parent(current, ret);
		if (r < 0)
			break;
		r = read_link(ret, current, &next);
		if (r < 0 || !next)
			break;
		free(current);
		current = next;
		fs_place_clear(ret);
		r = -ELOOP;
	}
	free(current);
	return r;
}

void fs_place_clear(struct fs_place *place)
{
	fd_close(&place->dirfd);
	free(place->name);
	place->name = NULL;
}
