/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/http/atomic.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "fs/create.h"
#include "fs/entry.h"
#include "fs/place.h"

/* ".envd-", 16 hexadecimal digits, ".tmp" */
#define TEMP_PREFIX ".envd-"
#define TEMP_SUFFIX ".tmp"
#define TEMP_CHARS  26
#define TEMP_BYTES  (TEMP_CHARS + 1)

/* Attempts to create a new file: a sweep may remove it before it is locked. */
#define TEMP_TRIES 8

struct fs_atomic {
	struct fs_place place;
	char temp[TEMP_BYTES]; /* the temporary name of the new file in `place`; "": none */
};

/* ---- temporary names ---- */

static void choose_temp_name(char temp[TEMP_BYTES])
{
	snprintf(temp, TEMP_BYTES, TEMP_PREFIX "%016llx" TEMP_SUFFIX,
		 (unsigned long long)fs_random());
}

static bool is_temp_name(const char *name)
{
	const size_t prefix = sizeof(TEMP_PREFIX) - 1;

	return strlen(name) == TEMP_CHARS && strncmp(name, TEMP_PREFIX, prefix) == 0 &&
	       strspn(name + prefix, "0123456789abcdef") == 16 &&
	       strcmp(name + prefix + 16, TEMP_SUFFIX) == 0;
}

/* Removes a temporary file if no upload holds its lock. */
static void sweep_one(int dirfd, const char *name)
{
	FD_AUTO int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    flock(fd, LOCK_EX | LOCK_NB) == 0)
		unlinkat(dirfd, name, 0);
}

void fs_atomic_sweep(int dirfd)
{
	int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *d;

	if (!dir) {
		fd_close(&copy);
		return;
	}
	while ((d = readdir(dir)))
		if (is_temp_name(d->d_name))
			sweep_one(dirfd, d->d_name);
	closedir(dir);
}

/*
 * Returns true if the directory must be swept: not if it is among the directories that were swept
 * last.
 */
static bool sweep_is_due(int dirfd)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct {
		dev_t dev;
		ino_t ino;
	} swept[64];
	struct stat st;
	size_t i;
	bool due;

	if (fstat(dirfd, &st) < 0)
		return false;
	i = (size_t)(st.st_ino % ARRAY_LEN(swept));
	pthread_mutex_lock(&lock);
	due = swept[i].dev != st.st_dev || swept[i].ino != st.st_ino;
	swept[i].dev = st.st_dev;
	swept[i].ino = st.st_ino;
	pthread_mutex_unlock(&lock);
	return due;
}

/* ---- the new file ---- */

/*
 * Creates the file under a temporary name and locks it, so that a concurrent sweep does not remove
 * it. Returns the descriptor, or -errno; -EAGAIN if a sweep removed the file before it was locked.
 */
static int create_named(struct fs_atomic *a)
{
	FD_AUTO int fd = -1;
	struct stat st;

	choose_temp_name(a->temp);
	fd = openat(a->place.dirfd, a->temp, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
	if (fd < 0) {
		a->temp[0] = '\0';
		return -errno;
	}
	/* If flock(2) is not supported, sweep_one can't lock and removes nothing. */
	if (flock(fd, LOCK_EX) == 0 && fstat(fd, &st) == 0 && st.st_nlink == 0) {
		a->temp[0] = '\0';
		return -EAGAIN;
	}
	return fd_take(&fd);
}

/* Opens the new file: without a name if the file system supports O_TMPFILE. */
static int open_new(struct fs_atomic *a)
{
	int fd = openat(a->place.dirfd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
	int tries = TEMP_TRIES;

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd < 0 ? -errno : fd;
	if (sweep_is_due(a->place.dirfd))
		fs_atomic_sweep(a->place.dirfd);
	do {
		fd = create_named(a);
	} while (fd == -EAGAIN && --tries);
	return fd;
}

/* Copies one extended attribute. Ignores failures. */
static void copy_attribute(int from, int to, const char *name, char *value)
{
	ssize_t n = fgetxattr(from, name, value, XATTR_SIZE_MAX);

	if (n >= 0)
		fsetxattr(to, name, value, (size_t)n, 0);
}

/*
 * Copies the extended attributes, with two exceptions. The upload sets its own metadata
 * (FS_METADATA_PREFIX). security.capability, security.ima and security.evm vouch for the old
 * contents; the kernel removes capabilities, for example, when a file is written to.
 */
static void copy_attributes(int from, int to)
{
	char *names = mem_alloc(XATTR_LIST_MAX), *value = NULL, *name;
	ssize_t n = flistxattr(from, names, XATTR_LIST_MAX);

	for (name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
		if (strncmp(name, FS_METADATA_PREFIX, sizeof(FS_METADATA_PREFIX) - 1) == 0 ||
		    strcmp(name, "security.capability") == 0 || strcmp(name, "security.ima") == 0 ||
		    strcmp(name, "security.evm") == 0)
			continue;
		if (!value)
			value = mem_alloc(XATTR_SIZE_MAX);
		copy_attribute(from, to, name, value);
	}
	free(names);
	free(value);
}

/*
 * Gives the new file the mode, owner and extended attributes of the old file. Leaves out setuid,
 * setgid and the sticky bit, because they were granted to the old contents.
 */
static int copy_status(const struct fs_atomic *a, int fd, const struct fs_atomic_options *o)
{
	FD_AUTO int old = openat(a->place.dirfd, a->place.name,
				 O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	int r;

	if (old < 0)
		return errno == ENOENT ? fs_give(fd, o->uid, o->gid) : -errno;
	if (fstat(old, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -ENODEV;
	r = o->give ? fs_give(fd, o->uid, o->gid) : fs_give(fd, st.st_uid, st.st_gid);
	if (r == 0 && fchmod(fd, st.st_mode & 0777) < 0)
		r = -errno;
	if (r == 0)
		copy_attributes(old, fd);
	return r;
}

int fs_atomic_begin(const char *path, const struct fs_atomic_options *options,
		    struct fs_atomic **ret, int *ret_fd)
{
	struct fs_atomic *a = mem_zalloc(sizeof(*a));
	int fd = -1, r = fs_place_find(path, &a->place);

	if (r == 0) {
		fd = open_new(a);
		r = fd < 0 ? fd : copy_status(a, fd, options);
	}
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
	return fstatat(a->place.dirfd, a->place.name, ret, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* ---- the change ---- */

/* Links the file, which has no name, under the name. 0 or -errno; -EEXIST if the name exists. */
static int link_new(const struct fs_atomic *a, int fd, const char *name)
{
	char self[40];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, self, a->place.dirfd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* Renames the temporary file to a name that must not exist. */
static int rename_exclusive(struct fs_atomic *a)
{
	const int dir = a->place.dirfd;

	if (renameat2(dir, a->temp, dir, a->place.name, RENAME_NOREPLACE) == 0) {
		a->temp[0] = '\0';
		return 0;
	}
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* fs_atomic_free removes the temporary name. */
	return linkat(dir, a->temp, dir, a->place.name, 0) < 0 ? -errno : 0;
}

/*
 * Renames the new file over the old one. A file without a name is linked under a temporary name
 * first.
 */
static int rename_over(struct fs_atomic *a, int fd)
{
	const int dir = a->place.dirfd;
	int r = 0;

	if (!a->temp[0]) {
		/* The lock keeps a concurrent sweep from removing the temporary name. */
		flock(fd, LOCK_EX);
		choose_temp_name(a->temp);
		r = link_new(a, fd, a->temp);
		if (r < 0)
			a->temp[0] = '\0';
	}
	if (r == 0 && renameat(dir, a->temp, dir, a->place.name) < 0)
		r = -errno;
	if (r == 0)
		a->temp[0] = '\0';
	return r;
}

int fs_atomic_commit(struct fs_atomic *a, int fd, bool exclusive, bool sync)
{
	int r = -EEXIST;

	if (!a->temp[0])
		r = link_new(a, fd, a->place.name);
	else if (exclusive)
		r = rename_exclusive(a);
	if (r == -EEXIST && !exclusive)
		r = rename_over(a, fd);
	if (r < 0)
		return r;
	return sync && fsync(a->place.dirfd) < 0 ? -errno : 0;
}

void fs_atomic_free(struct fs_atomic *a)
{
	if (!a)
		return;
	if (a->temp[0])
		unlinkat(a->place.dirfd, a->temp, 0);
	fs_place_clear(&a->place);
	free(a);
}
