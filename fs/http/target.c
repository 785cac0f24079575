/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/http/target.h"

#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "fs/entry.h"
#include "fs/http/atomic.h"
#include "fs/http/validator.h"
#include "fs/make_dirs.h"

/* A FIFO or a device must not hold the worker up (fifo(7)), nor a terminal become ours. */
#define OPEN_FLAGS (O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/* An error about the path: the text, then the path. Returns -1. */
static int fail_path(const struct fs_target *t, struct error *err, enum error_code code,
		     const char *text)
{
	struct arena arena = {0};

	error_set(err, code, "%s: %s", text, fs_text(t->path, &arena));
	arena_clear(&arena);
	return -1;
}

/* The same for a system call that failed. */
static int fail_errno(const struct fs_target *t, struct error *err, int errnum, const char *text)
{
	struct arena arena = {0};

	error_set_errno(err, fs_errno_code(errnum), errnum, "%s: %s", text,
			fs_text(t->path, &arena));
	arena_clear(&arena);
	return -1;
}

/* Checks If-Match and If-None-Match against what is there; NULL: nothing. */
static int check_conditions(const struct fs_target *t, const struct stat *st, struct error *err)
{
	const struct fs_target_options *o = t->options;
	struct fs_validator validator = {0};
	struct timespec now;

	if (!o->if_match && !o->if_none_match)
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	if (st)
		fs_validator_init(&validator, st, &now);
	if (!fs_if_match(o->if_match, st ? &validator : NULL))
		return fail_path(t, err, ERROR_FAILED_PRECONDITION,
				 "the file is not the one that If-Match names");
	if (!fs_if_none_match(o->if_none_match, st ? &validator : NULL))
		return fail_path(t, err, ERROR_FAILED_PRECONDITION,
				 "the file is one that If-None-Match excludes");
	return 0;
}

/* Whether the range can be written to a file of this size. */
static int check_range(struct fs_target *t, int64_t size, struct error *err)
{
	const struct fs_content_range *range = &t->options->range;

	if (!t->options->has_range || range->first == 0)
		return 0;
	if (range->first > (uint64_t)size) {
		t->size = size;
		return error_set(
			err, ERROR_OUT_OF_RANGE,
			"the file has %lld bytes, so that a range from %llu on would leave a "
			"gap",
			(long long)size, (unsigned long long)range->first);
	}
	if (range->total != FS_TOTAL_UNKNOWN && (uint64_t)size > range->total) {
		t->size = size;
		return error_set(
			err, ERROR_ABORTED,
			"the file has %lld bytes, more than the %llu that Content-Range says "
			"there will be",
			(long long)size, (unsigned long long)range->total);
	}
	return 0;
}

/* Makes an open file that was there ready for the body. */
static int prepare_old(struct fs_target *t, struct error *err)
{
	const struct fs_target_options *o = t->options;
	struct stat st;

	if (fstat(t->fd, &st) < 0)
		return fail_errno(t, err, errno, "error getting file info");
	if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))
		return fail_path(t, err, ERROR_INVALID_ARGUMENT, "path is not a regular file");
	if (check_conditions(t, &st, err) < 0 || check_range(t, st.st_size, err) < 0)
		return -1;
	if (fchown(t->fd, o->uid, o->gid) < 0)
		return fail_errno(t, err, errno, "error changing file ownership");
	if (!S_ISREG(st.st_mode))
		return 0;
	if (o->has_range && o->range.first) {
		if (lseek(t->fd, (off_t)o->range.first, SEEK_SET) < 0)
			return fail_errno(t, err, errno, "error opening file");
		return 0;
	}
	if (ftruncate(t->fd, 0) < 0)
		return fail_errno(t, err, errno, "error opening file");
	return 0;
}

static bool ends_in_slash(const char *path)
{
	return path[strlen(path) - 1] == '/';
}

static int make_parents(struct fs_target *t, struct error *err)
{
	if (fs_make_parents(t->path, t->options->uid, t->options->gid, err, NULL) < 0)
		return error_prefix(err, "error ensuring directories");
	return 0;
}

/* What open said. */
static int fail_open(struct fs_target *t, int errnum, struct error *err)
{
	if (errnum == -EISDIR)
		return fail_path(t, err, ERROR_INVALID_ARGUMENT, "path is a directory");
	if (errnum == -ENXIO || errnum == -ENODEV)
		return fail_path(t, err, ERROR_INVALID_ARGUMENT, "path is not a regular file");
	return fail_errno(t, err, errnum, "error opening file");
}

/*
 * Opens the file in place. First without O_CREAT: with it, even root may not open another user's
 * file in a sticky directory (fs.protected_regular, proc_sys_fs(5)).
 */
static int open_plain(struct fs_target *t, struct error *err)
{
	bool retried;

	t->fd = open(t->path, OPEN_FLAGS);
	if (t->fd >= 0)
		return prepare_old(t, err);
	if (errno != ENOENT)
		return fail_open(t, -errno, err);
	if (check_conditions(t, NULL, err) < 0 || check_range(t, 0, err) < 0)
		return -1;
	t->is_new = true;
	for (retried = false; t->fd < 0; retried = true) {
		t->fd = open(t->path, OPEN_FLAGS | O_CREAT, 0666);
		if (t->fd >= 0)
			break;
		if (errno != ENOENT || retried)
			return fail_open(t, -errno, err);
		if (make_parents(t, err) < 0)
			return -1;
	}
	if (fchown(t->fd, t->options->uid, t->options->gid) < 0)
		return fail_errno(t, err, errno, "error changing file ownership");
	return 0;
}

static int check_old(struct fs_target *t, struct error *err)
{
	struct stat st;
	int r = fs_atomic_stat_old(t->atomic, &st);

	if (r < 0 && r != -ENOENT)
		return fail_errno(t, err, r, "error getting file info");
	return check_conditions(t, r < 0 ? NULL : &st, err);
}

static int open_atomic(struct fs_target *t, struct error *err)
{
	int r;

	if (make_parents(t, err) < 0)
		return -1;
	r = fs_atomic_begin(t->path, t->options->uid, t->options->gid, &t->atomic, &t->fd);
	if (r < 0)
		return fail_open(t, r, err);
	/* The new file has none of the metadata, as if there had been no old one. */
	t->is_new = true;
	return check_old(t, err);
}

int fs_target_open(struct fs_target *t, const char *path, const struct fs_target_options *options,
		   struct error *err)
{
	*t = (struct fs_target){.options = options, .path = path, .fd = -1, .size = -1};
	if (ends_in_slash(path)) {
		if (make_parents(t, err) < 0)
			return -1;
		return fail_path(t, err, ERROR_INVALID_ARGUMENT, "path is a directory");
	}
	return options->atomic ? open_atomic(t, err) : open_plain(t, err);
}

static int fail_write(struct error *err, int errnum)
{
	if (fs_errno_code(errnum) == ERROR_RESOURCE_EXHAUSTED)
		return error_set_errno(err, ERROR_RESOURCE_EXHAUSTED, errnum,
				       "not enough disk space available");
	return error_set_errno(err, ERROR_INTERNAL, errnum, "error writing file");
}

/* No more than the range that was announced may be written. */
static int admit(struct fs_target *t, size_t n, struct error *err)
{
	const struct fs_content_range *range = &t->options->range;

	if (t->options->has_range && n > fs_content_range_bytes(range) - t->written)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "the body is longer than its Content-Range");
	return 0;
}

int fs_target_write(struct fs_target *t, const void *p, size_t n, struct error *err)
{
	int r;

	if (admit(t, n, err) < 0)
		return -1;
	r = fd_write_all(t->fd, p, n);
	if (r < 0)
		return fail_write(err, r);
	t->written += n;
	return 0;
}

int fs_target_write_buffer(struct fs_target *t, struct evbuffer *data, struct error *err)
{
	struct evbuffer_iovec iov[64];
	ssize_t done;
	int n;

	if (admit(t, evbuffer_get_length(data), err) < 0)
		return -1;
	while (evbuffer_get_length(data)) {
		n = evbuffer_peek(data, -1, NULL, iov, ARRAY_LEN(iov));
		if (n > (int)ARRAY_LEN(iov))
			n = ARRAY_LEN(iov);
		done = writev(t->fd, (struct iovec *)iov, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return fail_write(err, done < 0 ? errno : EIO);
		t->written += (uint64_t)done;
		evbuffer_drain(data, (size_t)done);
	}
	return 0;
}

static int write_metadata(struct fs_target *t, struct error *err)
{
	const struct fs_target_options *o = t->options;
	int r;

	/* A later part of a file says nothing of its metadata unless it brings some. */
	if (o->has_range && o->range.first && !o->metadata.n)
		return 0;
	r = fs_metadata_write(t->fd, &o->metadata, t->is_new);
	if (r == -ENOTSUP) {
		if (o->metadata.n)
			log_warn("metadata of an upload is not kept: the file system has no "
				 "extended attributes");
		return 0;
	}
	if (r < 0 && (fs_errno_code(r) == ERROR_RESOURCE_EXHAUSTED || r == -E2BIG))
		return error_set_errno(err, ERROR_RESOURCE_EXHAUSTED, r,
				       "not enough space for file metadata");
	if (r < 0)
		return error_set_errno(err, ERROR_INTERNAL, r, "error writing file metadata");
	return 0;
}

int fs_target_finish(struct fs_target *t, struct error *err)
{
	const struct fs_target_options *o = t->options;
	int r;

	if (o->has_range && t->written != fs_content_range_bytes(&o->range))
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "the body has %" PRIu64 " bytes, its Content-Range %" PRIu64,
				 t->written, fs_content_range_bytes(&o->range));
	if (write_metadata(t, err) < 0)
		return -1;
	if (o->sync && fsync(t->fd) < 0 && errno != EINVAL && errno != EROFS)
		return fail_write(err, errno);
	if (t->atomic) {
		if (check_old(t, err) < 0)
			return -1;
		r = fs_atomic_commit(t->atomic, t->fd, o->sync);
		if (r < 0)
			return fail_errno(t, err, r, "error replacing file");
	}
	/* Over NFS it is the close that says whether there was space. */
	r = close(fd_take(&t->fd)) < 0 && errno != EINTR ? -errno : 0;
	return r < 0 ? fail_write(err, r) : 0;
}

void fs_target_close(struct fs_target *t)
{
	if (!t->options)
		return;
	fd_close(&t->fd);
	fs_atomic_free(t->atomic);
	t->atomic = NULL;
}
