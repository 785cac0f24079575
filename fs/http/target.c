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

#include "base/arena.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "fs/create.h"
#include "fs/http/atomic.h"
#include "fs/http/validator.h"
#include "fs/make_dirs.h"
#include "fs/text.h"

/*
 * Opening a FIFO or a device must not block the worker (fifo(7)), and opening a terminal must not
 * make it the daemon's controlling terminal.
 */
#define OPEN_FLAGS (O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/* Maximum attempts to open a file that other processes create and remove concurrently. */
#define OPEN_TRIES 16

/* Sets an error with the text and the path. Returns -1. */
static int fail_path(const struct fs_target *t, struct error *err, enum error_code code,
		     const char *text)
{
	struct arena arena = {0};

	error_set(err, code, "%s: %s", text, fs_text(t->path, &arena));
	arena_clear(&arena);
	return -1;
}

/* Sets an error for a failed system call. Returns -1. */
static int fail_errno(const struct fs_target *t, struct error *err, int errnum, const char *text)
{
	struct arena arena = {0};

	error_set_errno(err, fs_errno_code(errnum), errnum, "%s: %s", text,
			fs_text(t->path, &arena));
	arena_clear(&arena);
	return -1;
}

static const char *const state_names[] = {
	[FS_TARGET_CLOSED] = "closed",	   [FS_TARGET_IN_PLACE] = "in place",
	[FS_TARGET_CREATED] = "created",   [FS_TARGET_BESIDE] = "beside",
	[FS_TARGET_FINISHED] = "finished",
};

static void set_state(struct fs_target *t, enum fs_target_state state)
{
	struct arena arena = {0};

	log_debug("upload to %s: %s -> %s", fs_text(t->path, &arena), state_names[t->state],
		  state_names[state]);
	arena_clear(&arena);
	t->state = state;
}

/* ---- conditions ---- */

static bool has_conditions(const struct fs_target *t)
{
	return t->options->if_match || t->options->if_none_match;
}

static int fail_if_none_match(const struct fs_target *t, struct error *err)
{
	return fail_path(t, err, ERROR_FAILED_PRECONDITION,
			 "the file is one that If-None-Match excludes");
}

/* Checks If-Match and If-None-Match against the file's status; NULL: there is no file. */
static int check_conditions(const struct fs_target *t, const struct stat *st, struct error *err)
{
	const struct fs_target_options *o = t->options;
	struct fs_validator validator = {0};
	struct timespec now;

	if (!has_conditions(t))
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	if (st)
		fs_validator_init(&validator, st, &now);
	if (!fs_if_match(o->if_match, st ? &validator : NULL))
		return fail_path(t, err, ERROR_FAILED_PRECONDITION,
				 "the file is not the one that If-Match names");
	if (!fs_if_none_match(o->if_none_match, st ? &validator : NULL))
		return fail_if_none_match(t, err);
	return 0;
}

/* Checks that the range can be written to a file of this size. 0, or -1 with `err`. */
static int check_range(struct fs_target *t, int64_t size, struct error *err)
{
	const struct fs_content_range *range = &t->options->range;

	if (!t->options->has_range)
		return 0;
	t->size = size;
	if (range->first > (uint64_t)size)
		return error_set(err, ERROR_OUT_OF_RANGE,
				 "the file has %lld bytes, so a range that begins at %llu would "
				 "leave a gap",
				 (long long)size, (unsigned long long)range->first);
	if (range->total != FS_TOTAL_UNKNOWN && (uint64_t)size > range->total)
		return error_set(err, ERROR_ABORTED,
				 "the file has %lld bytes, more than the total of %llu in "
				 "Content-Range",
				 (long long)size, (unsigned long long)range->total);
	t->size = -1;
	return 0;
}

/* ---- beside ---- */

/* Checks the conditions against the file to be replaced; *ret_exists: there is one. */
static int check_old(struct fs_target *t, bool *ret_exists, struct error *err)
{
	struct stat st;
	int r = fs_atomic_stat_old(t->atomic, &st);

	if (r < 0 && r != -ENOENT)
		return fail_errno(t, err, r, "error getting file info");
	*ret_exists = r == 0;
	return check_conditions(t, r < 0 ? NULL : &st, err);
}

static int make_parents(struct fs_target *t, struct error *err)
{
	if (fs_make_parents(t->path, t->options->uid, t->options->gid, err, NULL) < 0)
		return error_prefix(err, "error ensuring directories");
	return 0;
}

/* The error of open(2). */
static int fail_open(struct fs_target *t, int errnum, struct error *err)
{
	if (errnum == -EISDIR)
		return fail_path(t, err, ERROR_INVALID_ARGUMENT, "path is a directory");
	if (errnum == -ENXIO || errnum == -ENODEV)
		return fail_path(t, err, ERROR_INVALID_ARGUMENT, "path is not a regular file");
	return fail_errno(t, err, errnum, "error opening file");
}

/*
 * Opens a new file in the directory of the old one. `give`: the user owns it, independent of the
 * old owner.
 */
static int open_beside(struct fs_target *t, bool give, struct error *err)
{
	const struct fs_atomic_options o = {t->options->uid, t->options->gid, give};
	bool exists;
	int r;

	if (make_parents(t, err) < 0)
		return -1;
	r = fs_atomic_begin(t->path, &o, &t->atomic, &t->fd);
	if (r < 0)
		return fail_open(t, r, err);
	set_state(t, FS_TARGET_BESIDE);
	/* The metadata of the old file is not copied. */
	t->is_new = true;
	return check_old(t, &exists, err);
}

/* Replaces the old file by the new one, if the conditions still hold. */
static int commit(struct fs_target *t, struct error *err)
{
	pthread_mutex_t *lock = has_conditions(t) ? fs_condition_lock(t->fd) : NULL;
	bool exists = true;
	int r = -1, failed;

	if (lock)
		pthread_mutex_lock(lock);
	failed = check_old(t, &exists, err);
	/* The lock excludes other uploads; EEXIST of the kernel excludes other processes. */
	if (failed == 0)
		r = fs_atomic_commit(t->atomic, t->fd, lock && !exists, t->options->sync);
	if (lock)
		pthread_mutex_unlock(lock);
	if (failed < 0 || r == 0)
		return failed;
	return r == -EEXIST ? fail_if_none_match(t, err)
			    : fail_errno(t, err, r, "error replacing file");
}

/* ---- in place ---- */

/* Prepares an open file for the body: the owner, the length, the position. */
static int prepare(struct fs_target *t, const struct stat *st, struct error *err)
{
	static const struct timespec now[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
	const struct fs_target_options *o = t->options;
	int r;

	if (check_conditions(t, st, err) < 0 || check_range(t, st->st_size, err) < 0)
		return -1;
	r = o->keep_owner ? 0 : fs_give(t->fd, o->uid, o->gid);
	if (r < 0)
		return fail_errno(t, err, r, "error changing file ownership");
	if (!S_ISREG(st->st_mode))
		return 0;
	if (!o->has_range)
		return ftruncate(t->fd, 0) < 0 ? fail_errno(t, err, errno, "error opening file")
					       : 0;
	if (lseek(t->fd, (off_t)o->range.first, SEEK_SET) < 0)
		return fail_errno(t, err, errno, "error opening file");
	/* The ETag must change before the lock is released, as it does after ftruncate(2). */
	if (has_conditions(t))
		futimens(t->fd, now);
	return 0;
}

/* Opens an existing file. */
static int open_old(struct fs_target *t, struct error *err)
{
	pthread_mutex_t *lock;
	struct stat st;
	int r;

	if (fstat(t->fd, &st) < 0)
		return fail_errno(t, err, errno, "error getting file info");
	if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))
		return fail_path(t, err, ERROR_INVALID_ARGUMENT, "path is not a regular file");
	if (S_ISREG(st.st_mode) && !t->options->has_range && !fs_writer_begin(&t->writer, &st)) {
		fd_close(&t->fd);
		return open_beside(t, !t->options->keep_owner, err);
	}
	set_state(t, FS_TARGET_IN_PLACE);
	if (!has_conditions(t))
		return prepare(t, &st, err);
	lock = fs_condition_lock(t->fd);
	pthread_mutex_lock(lock);
	r = fstat(t->fd, &st) < 0 ? fail_errno(t, err, errno, "error getting file info")
				  : prepare(t, &st, err);
	pthread_mutex_unlock(lock);
	return r;
}

/* Finds the place for a new file, and creates its directories. 0 or -1. */
static int find_place(struct fs_target *t, struct error *err)
{
	int r = fs_place_find(t->path, &t->place);

	if (r == -ENOENT) {
		fs_place_clear(&t->place);
		if (make_parents(t, err) < 0)
			return -1;
		r = fs_place_find(t->path, &t->place);
	}
	return r < 0 ? fail_open(t, r, err) : 0;
}

/* Result of create_new: the file exists now. */
#define EXISTS 1

/*
 * Creates a file that did not exist before. 0, EXISTS, or -1. O_EXCL guarantees that this call
 * created the file. Otherwise it might be another process's file, whose ownership would be given to
 * the user.
 */
static int create_new(struct fs_target *t, struct error *err)
{
	const struct fs_target_options *o = t->options;
	struct stat st;
	int r;

	if (check_conditions(t, NULL, err) < 0 || check_range(t, 0, err) < 0 ||
	    find_place(t, err) < 0)
		return -1;
	t->fd = openat(t->place.dirfd, t->place.name, OPEN_FLAGS | O_CREAT | O_EXCL | O_NOFOLLOW,
		       0666);
	if (t->fd < 0) {
		r = -errno;
		fs_place_clear(&t->place);
		return r == -EEXIST ? EXISTS : fail_open(t, r, err);
	}
	set_state(t, FS_TARGET_CREATED);
	t->is_new = true;
	if (fstat(t->fd, &st) < 0)
		return fail_errno(t, err, errno, "error getting file info");
	/*
	 * Called even if the owner is already right: a watch reports an upload as CREATE, CHMOD,
	 * WRITE.
	 */
	r = fs_give(t->fd, o->uid, o->gid);
	if (r < 0)
		return fail_errno(t, err, r, "error changing file ownership");
	/* Another upload opened the new file before it was registered, and writes to it. */
	if (!o->has_range && !fs_writer_begin(&t->writer, &st)) {
		fd_close(&t->fd);
		fs_place_clear(&t->place);
		return open_beside(t, true, err);
	}
	return 0;
}

/*
 * Opens the file in place. An existing file is opened without O_CREAT, because with O_CREAT even
 * root may not open another user's file in a sticky directory (fs.protected_regular,
 * proc_sys_fs(5)). A FIFO is not opened, because its reader would see EOF when the daemon closes
 * it.
 */
static int open_in_place(struct fs_target *t, struct error *err)
{
	struct stat st;
	int tries, r;

	for (tries = 0; tries < OPEN_TRIES; tries++) {
		if (stat(t->path, &st) < 0) {
			if (errno != ENOENT)
				return fail_open(t, -errno, err);
			r = create_new(t, err);
			if (r != EXISTS)
				return r;
			continue;
		}
		if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))
			return fail_open(t, -ENXIO, err);
		t->fd = open(t->path, OPEN_FLAGS);
		if (t->fd >= 0)
			return open_old(t, err);
		if (errno != ENOENT)
			return fail_open(t, -errno, err);
	}
	return fail_open(t, -EBUSY, err);
}

int fs_target_open(struct fs_target *t, const char *path, const struct fs_target_options *options,
		   struct error *err)
{
	*t = (struct fs_target){.options = options, .path = path, .fd = -1, .size = -1};
	t->place.dirfd = -1;
	if (path[strlen(path) - 1] == '/') {
		if (make_parents(t, err) < 0)
			return -1;
		return fail_path(t, err, ERROR_INVALID_ARGUMENT, "path is a directory");
	}
	return options->atomic ? open_beside(t, false, err) : open_in_place(t, err);
}

/* ---- the body ---- */

static int fail_write(struct error *err, int errnum)
{
	if (fs_errno_code(errnum) == ERROR_RESOURCE_EXHAUSTED)
		return error_set_errno(err, ERROR_RESOURCE_EXHAUSTED, errnum,
				       "not enough disk space available");
	return error_set_errno(err, ERROR_INTERNAL, errnum, "error writing file");
}

/* Checks that the n bytes do not exceed the announced range. */
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

	/* A later part of a file changes the metadata only if the request has metadata. */
	if (o->has_range && o->range.first && !o->metadata.n)
		return 0;
	r = fs_metadata_write(t->fd, &o->metadata, t->is_new);
	if (r == -ENOTSUP) {
		if (o->metadata.n)
			log_warn("the metadata of an upload is lost: the file system has no "
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

/* Syncs the file, and the directory of a new file. */
static int sync_file(const struct fs_target *t, struct error *err)
{
	if (fsync(t->fd) < 0 && errno != EINVAL && errno != EROFS)
		return fail_write(err, errno);
	if (t->state == FS_TARGET_CREATED && fsync(t->place.dirfd) < 0 && errno != EINVAL)
		return fail_write(err, errno);
	return 0;
}

int fs_target_finish(struct fs_target *t, struct error *err)
{
	const struct fs_target_options *o = t->options;

	if (o->has_range && t->written != fs_content_range_bytes(&o->range))
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "the body has %" PRIu64 " bytes, its Content-Range %" PRIu64,
				 t->written, fs_content_range_bytes(&o->range));
	if (write_metadata(t, err) < 0 || (o->sync && sync_file(t, err) < 0))
		return -1;
	if (t->state == FS_TARGET_BESIDE && commit(t, err) < 0)
		return -1;
	/* NFS reports a lack of space at close(2). */
	if (close(fd_take(&t->fd)) < 0 && errno != EINTR)
		return fail_write(err, errno);
	set_state(t, FS_TARGET_FINISHED);
	return 0;
}

/* Removes a file that the upload created, unless the name belongs to another file now. */
static void remove_created(struct fs_target *t)
{
	struct stat now;

	if (fstatat(t->place.dirfd, t->place.name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
	    now.st_dev == t->writer.dev && now.st_ino == t->writer.ino)
		unlinkat(t->place.dirfd, t->place.name, 0);
}

void fs_target_close(struct fs_target *t)
{
	if (!t->options)
		return;
	/*
	 * A part (no writer is registered for it) stays: the client asks how much was written, and
	 * continues from there.
	 */
	if (t->state == FS_TARGET_CREATED && t->writer.registered)
		remove_created(t);
	fs_writer_end(&t->writer);
	fd_close(&t->fd);
	fs_atomic_free(t->atomic);
	t->atomic = NULL;
	fs_place_clear(&t->place);
	if (t->state != FS_TARGET_CLOSED)
		set_state(t, FS_TARGET_CLOSED);
	t->options = NULL;
}
