/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/http/atomic.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "fs/entry.h"

/* As many links in a row as the kernel follows. */
#define LINKS_MAX 40

struct fs_atomic {
	int dirfd;
	char *name;    /* in it */
	char temp[40]; /* the new file's name in it, "" while it has none */
};

/* ".envd-<16 hex digits>.tmp" */
static void choose_temp_name(char temp[40])
{
	uint64_t random;

	while (getrandom(&random, sizeof(random), 0) != sizeof(random))
		;
	snprintf(temp, 40, ".envd-%016llx.tmp", (unsigned long long)random);
}

/*
 * Follows links at the end of the path to the name they lead to, be it absent: owned. (What is
 * before the last slash the kernel follows.)
 */
static int follow_links(const char *path, char **ret)
{
	char *current = mem_strdup(path), *next, link[PATH_MAX];
	size_t dir_bytes;
	ssize_t n;
	int i;

	for (i = 0; i < LINKS_MAX; i++) {
		n = readlink(current, link, sizeof(link) - 1);
		if (n < 0 && (errno == EINVAL || errno == ENOENT)) {
			*ret = current;
			return 0;
		}
		if (n < 0) {
			free(current);
			return -errno;
		}
		link[n] = '\0';
		dir_bytes = link[0] == '/' ? 0 : (size_t)(strrchr(current, '/') + 1 - current);
		next = mem_alloc(dir_bytes + (size_t)n + 1);
		memcpy(next, current, dir_bytes);
		memcpy(next + dir_bytes, link, (size_t)n + 1);
		free(current);
		current = next;
	}
	free(current);
	return -ELOOP;
}

/* Opens the new file, without a name if that is possible. */
static int open_new(struct fs_atomic *a)
{
	int fd = openat(a->dirfd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd < 0 ? -errno : fd;
	choose_temp_name(a->temp);
	fd = openat(a->dirfd, a->temp, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
	if (fd < 0)
		a->temp[0] = '\0';
	return fd < 0 ? -errno : fd;
}

/* Copies one attribute; what the new file can't have, it has not. */
static void copy_attribute(int from, int to, const char *name, char *value)
{
	ssize_t n = fgetxattr(from, name, value, XATTR_SIZE_MAX);

	if (n >= 0)
		fsetxattr(to, name, value, (size_t)n, 0);
}

/* Copies the attributes but for the metadata, which an upload replaces. */
static void copy_attributes(int from, int to)
{
	char *names = mem_alloc(XATTR_LIST_MAX), *value = NULL, *name;
	ssize_t n = flistxattr(from, names, XATTR_LIST_MAX);

	for (name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
		if (strncmp(name, FS_METADATA_PREFIX, sizeof(FS_METADATA_PREFIX) - 1) == 0)
			continue;
		if (!value)
			value = mem_alloc(XATTR_SIZE_MAX);
		copy_attribute(from, to, name, value);
	}
	free(names);
	free(value);
}

/* Makes the new file like the old one, or gives it to the user where there is none. */
static int dress(const struct fs_atomic *a, int fd, uid_t uid, gid_t gid)
{
	FD_AUTO int old = openat(a->dirfd, a->name,
				 O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (old < 0)
		return errno == ENOENT ? (fchown(fd, uid, gid) < 0 ? -errno : 0) : -errno;
	if (fstat(old, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -ENODEV;
	/* The change of owner takes setuid and setgid away, so the mode comes behind it. */
	if (fchown(fd, st.st_uid, st.st_gid) < 0 || fchmod(fd, st.st_mode & 07777) < 0)
		return -errno;
	copy_attributes(old, fd);
	return 0;
}

int fs_atomic_begin(const char *path, uid_t uid, gid_t gid, struct fs_atomic **ret, int *ret_fd)
{
	struct fs_atomic *a = mem_zalloc(sizeof(*a));
	char *final = NULL, *slash;
	int r, fd = -1;

	a->dirfd = -1;
	r = follow_links(path, &final);
	if (final) {
		slash = strrchr(final, '/');
		if (!slash)
			fatal("the path of an upload is not absolute");
		/* cppcheck-suppress nullPointerArithmeticRedundantCheck ; fatal does not return */
		a->name = mem_strdup(slash + 1);
		/* cppcheck-suppress nullPointerRedundantCheck ; the same */
		slash[slash == final] = '\0';
		a->dirfd = open(final, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = a->dirfd < 0 ? -errno : 0;
	}
	if (r == 0) {
		fd = open_new(a);
		r = fd < 0 ? fd : dress(a, fd, uid, gid);
	}
	free(final);
	if (r < 0) {
		fd_close(&fd);
		fs_atomic_free(a);
		return r;
	}
	*ret = a;
	*ret_fd = fd;
	return 0;
}

int fs_atomic_stat_old(const struct fs_atomic *a, struct stat *ret)
{
	return fstatat(a->dirfd, a->name, ret, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* Gives the new file a name beside the old one. */
static int name_new(struct fs_atomic *a, int fd)
{
	char self[40];

	choose_temp_name(a->temp);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, self, a->dirfd, a->temp, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	a->temp[0] = '\0';
	return -errno;
}

int fs_atomic_commit(struct fs_atomic *a, int fd, bool sync)
{
	int r = a->temp[0] ? 0 : name_new(a, fd);

	if (r == 0 && renameat(a->dirfd, a->temp, a->dirfd, a->name) < 0)
		r = -errno;
	if (r < 0)
		return r;
	a->temp[0] = '\0';
	return sync && fsync(a->dirfd) < 0 ? -errno : 0;
}

void fs_atomic_free(struct fs_atomic *a)
{
	if (!a)
		return;
	if (a->temp[0])
		unlinkat(a->dirfd, a->temp, 0);
	fd_close(&a->dirfd);
	free(a->name);
	free(a);
}
