/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/http/concat.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fd.h"
#include "base/mem.h"
#include "fs/create.h"
#include "fs/entry.h"
#include "fs/make_dirs.h"

/* The maximum number of bytes for one copy_file_range(2). */
#define COPY_BYTES (64u * 1024 * 1024)

/* Bytes for each read(2) and write(2) if the kernel can't copy between the two files. */
#define BUFFER_BYTES (256 * 1024)

/* Returns true if an error means that copy_file_range(2) is not supported for the two files. */
static bool unsupported(int error)
{
	return error == EXDEV || error == EINVAL || error == ENOSYS || error == EOPNOTSUPP ||
	       error == EPERM;
}

/* Appends by reading and writing. 0 or -errno. */
static int append_slowly(int from, int to)
{
	char *buffer = mem_alloc(BUFFER_BYTES);
	ssize_t n;
	int r = 0;

	while (r == 0) {
		n = fd_read_all(from, buffer, BUFFER_BYTES);
		if (n <= 0) {
			r = (int)n;
			break;
		}
		r = fd_write_all(to, buffer, (size_t)n);
	}
	free(buffer);
	return r;
}

/*
 * Appends one file to another. On some file systems (/proc), copy_file_range reports 0 bytes for a
 * file that is not empty; such a file is read with read(2).
 */
static int append(int from, int to)
{
	bool some = false;
	ssize_t n;

	for (;;) {
		n = copy_file_range(from, NULL, to, NULL, COPY_BYTES, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return unsupported(errno) ? append_slowly(from, to) : -errno;
		if (n == 0)
			return some ? 0 : append_slowly(from, to);
		some = true;
	}
}

/* Opens a source and appends it. */
static int append_source(const char *path, int to, struct arena *arena, struct error *err)
{
	FD_AUTO int from = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	int r;

	if (from < 0 || fstat(from, &st) < 0)
		return error_set_errno(err, ERROR_INTERNAL, errno, "error opening source file %s",
				       fs_text(path, arena));
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "source path is not a regular file: %s", fs_text(path, arena));
	r = append(from, to);
	if (r == 0)
		return 0;
	if (fs_errno_code(r) == ERROR_RESOURCE_EXHAUSTED)
		return error_set(err, ERROR_RESOURCE_EXHAUSTED, "not enough disk space available");
	return error_set_errno(err, ERROR_INTERNAL, r, "error composing source %s",
			       fs_text(path, arena));
}

/* Fills the new file. */
static int fill(int fd, char *const *sources, size_t n, uid_t uid, gid_t gid, struct arena *arena,
		struct error *err)
{
	size_t i;

	if (fchown(fd, uid, gid) < 0)
		return error_set_errno(err, ERROR_INTERNAL, errno, "error changing file ownership");
	for (i = 0; i < n; i++)
		if (append_source(sources[i], fd, arena, err) < 0)
			return -1;
	return 0;
}

static int fail_destination(int errnum, const char *what, struct error *err)
{
	if (fs_errno_code(errnum) == ERROR_RESOURCE_EXHAUSTED)
		return error_set(err, ERROR_RESOURCE_EXHAUSTED, "not enough disk space available");
	return error_set_errno(err, ERROR_INTERNAL, errnum, "error %s", what);
}

/* Removes a source, unless its path is another spelling of the destination. */
static void remove_source(const char *path, const struct stat *made)
{
	struct stat st;

	if (lstat(path, &st) == 0 && (st.st_dev != made->st_dev || st.st_ino != made->st_ino))
		unlink(path);
}

static int concat(char *const *sources, size_t n, const char *destination, uid_t uid, gid_t gid,
		  struct arena *arena, struct error *err)
{
	FD_AUTO int fd = -1;
	struct stat made = {0};
	char *temp;
	size_t i;
	int r;

	if (fs_make_parents(destination, uid, gid, err, NULL) < 0)
		return error_prefix(err, "error ensuring directories");
	temp = arena_printf(arena, "%s.e2b-compose.%016" PRIx64 ".tmp", destination, fs_random());
	fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (fd < 0)
		return fail_destination(errno, "creating destination file", err);
	r = fill(fd, sources, n, uid, gid, arena, err);
	if (r == 0 && fstat(fd, &made) < 0)
		r = fail_destination(errno, "creating destination file", err);
	/* NFS reports a lack of space at close(2). */
	if (r == 0 && close(fd_take(&fd)) < 0 && errno != EINTR)
		r = fail_destination(errno, "closing destination file", err);
	if (r == 0 && rename(temp, destination) < 0)
		r = fail_destination(errno, "finalizing compose", err);
	if (r < 0) {
		unlink(temp);
		return -1;
	}
	for (i = 0; i < n; i++)
		remove_source(sources[i], &made);
	return 0;
}

int fs_concat(char *const *sources, size_t n, const char *destination, uid_t uid, gid_t gid,
	      struct error *err)
{
	struct arena arena = {0};
	int r = concat(sources, n, destination, uid, gid, &arena, err);

	arena_clear(&arena);
	return r;
}
