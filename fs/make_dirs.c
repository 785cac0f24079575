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
#include "base/log.h"
#include "base/path.h"
#include "fs/create.h"
#include "fs/text.h"

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
 * Sets the owner of a new directory to its present owner, so that watches report a CHMOD. The
 * reference creates a directory and then gives it to the user, so its watches report CREATE and
 * CHMOD. If another process has put another directory at this name, the directory is changed only
 * if it belongs to the user.
 */
static void report_owner(int parent, const char *name, uid_t uid)
{
	FD_AUTO int fd = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == uid &&
	    fchownat(fd, "", uid, (gid_t)-1, AT_EMPTY_PATH) < 0)
		log_debug("a new directory is reported without CHMOD: %s", error_errno_text(errno));
}

/* Creates the directory at a path, in the directory before the path's last slash. 0 or -errno. */
static int create_at(const char *path, uid_t uid, gid_t gid, struct arena *arena)
{
	const char *slash = strrchr(path, '/'), *name = slash + 1;
	size_t parent_bytes = slash == path ? 1 : (size_t)(slash - path);
	FD_AUTO int parent =
		open(arena_strndup(arena, path, parent_bytes), O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (parent < 0)
		return -errno;
	if (!*name)
		name = ".";
	r = fs_create_dir(parent, name, 0755, uid, gid);
	if (r == 0)
		report_owner(parent, name, uid);
	return r;
}

/* Makes one directory. Returns 0, 1 if it existed, or -1. */
static int make_one(const char *path, uid_t uid, gid_t gid, struct arena *arena, struct error *err,
		    int *ret_errno)
{
	struct stat st;
	int r = create_at(path, uid, gid, arena);

	if (r == 0)
		return 0;
	if (r != -EEXIST)
		return fail(r, "create directory", path, arena, err, ret_errno);
	if (stat(path, &st) < 0)
		return fail(-errno, "stat directory", path, arena, err, ret_errno);
	if (!S_ISDIR(st.st_mode))
		return fail(-ENOTDIR, "create directory", path, arena, err, ret_errno);
	return 1;
}

/* The cleaned path of the directory before the last slash. */
static char *parent_of(const char *path, struct arena *arena)
{
	const char *slash = strrchr(path, '/');

	return path_clean(arena, arena_strndup(arena, path, (size_t)(slash - path) + 1));
}

/*
 * Makes a directory whose path is clean; 1 if it existed. Searches from the bottom up, because
 * usually the whole path exists.
 */
static int make_clean(char *path, uid_t uid, gid_t gid, struct arena *arena, struct error *err,
		      int *ret_errno)
{
	size_t n = strlen(path), end = n;
	struct stat st;
	int r = 1;

	/* Cuts the last element off the path until the rest exists. */
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
	/* Restores the slashes one by one, and makes the directory that ends before each. */
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

/* Returns true if the last element of a path is "", "." or "..". */
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
