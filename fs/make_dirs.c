/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/make_dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fd.h"
#include "base/path.h"
#include "fs/entry.h"

/* Says which step failed on which directory. */
static int fail(int errnum, const char *step, const char *path, struct arena *arena,
		struct error *err, int *ret_errno)
{
	if (ret_errno)
		*ret_errno = errnum;
	return error_set_errno(err, ERROR_INTERNAL, errnum, "failed to %s: %s", step,
			       fs_text(path, arena));
}

/*
 * Makes one directory and gives it away; 1 where it was there already. The new directory is opened
 * without following a link before its owner is changed: between the two calls somebody may have
 * put something else there.
 */
static int make_one(const char *path, uid_t uid, gid_t gid, struct arena *arena, struct error *err,
		    int *ret_errno)
{
	FD_AUTO int fd = -1;
	struct stat st;

	if (mkdir(path, 0755) < 0) {
		if (errno != EEXIST)
			return fail(-errno, "create directory", path, arena, err, ret_errno);
		if (stat(path, &st) < 0)
			return fail(-errno, "stat directory", path, arena, err, ret_errno);
		if (!S_ISDIR(st.st_mode))
			return fail(-ENOTDIR, "create directory", path, arena, err, ret_errno);
		return 1;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchown(fd, uid, gid) < 0)
		return fail(-errno, "chown directory", path, arena, err, ret_errno);
	return 0;
}

/* The cleaned path of what is before the last slash. */
static char *parent_of(const char *path, struct arena *arena)
{
	const char *slash = strrchr(path, '/');

	return path_clean(arena, arena_strndup(arena, path, (size_t)(slash - path) + 1));
}

/*
 * Makes a directory whose path is clean; 1 where it was there already. Looks from the bottom up:
 * mostly all of it is there.
 */
static int make_clean(char *path, uid_t uid, gid_t gid, struct arena *arena, struct error *err,
		      int *ret_errno)
{
	size_t n = strlen(path), end = n;
	struct stat st;
	int r = 1;

	/* Cuts the path before one slash after the other, down to a directory that is there. */
	while (stat(path, &st) < 0) {
		if (errno != ENOENT)
			return fail(-errno, "stat directory", path, arena, err, ret_errno);
		while (end > 1 && path[end - 1] != '/')
			end--;
		if (end <= 1) {
			r = make_one(path, uid, gid, arena, err, ret_errno);
			if (r < 0)
				return -1;
			break;
		}
		path[--end] = '\0';
	}
	if (end > 1 && !S_ISDIR(st.st_mode))
		return fail(-ENOTDIR, "use a file as a directory", path, arena, err, ret_errno);
	/* Puts the slashes back and makes what each completes. */
	while ((end = strlen(path)) < n) {
		path[end] = '/';
		r = make_one(path, uid, gid, arena, err, ret_errno);
		if (r < 0)
			return -1;
	}
	return r;
}

int fs_make_parents(const char *path, uid_t uid, gid_t gid, struct error *err, int *ret_errno)
{
	struct arena arena = {0};
	int r = make_clean(parent_of(path, &arena), uid, gid, &arena, err, ret_errno);

	arena_clear(&arena);
	return r < 0 ? -1 : 0;
}

/* Whether a path's last element names what its parent's does, or what is above: "", "." or "..". */
static bool ends_in_parent(const char *path)
{
	const char *last = strrchr(path, '/') + 1;

	return last[strspn(last, ".")] == '\0' && strlen(last) <= 2;
}

int fs_make_dirs(const char *path, uid_t uid, gid_t gid, struct error *err, int *ret_errno)
{
	struct arena arena = {0};
	int above = make_clean(parent_of(path, &arena), uid, gid, &arena, err, ret_errno);
	int r = above;

	if (r >= 0)
		r = make_one(path, uid, gid, &arena, err, ret_errno);
	if (r > 0 && ends_in_parent(path))
		r = above;
	arena_clear(&arena);
	return r;
}
