/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "fs/entry.h"
#include "fs/http/content_type.h"
#include "fs/http/download.h"
#include "fs/http/gzip_out.h"
#include "fs/netmount.h"
#include "rpc/codec/gzip.h"

/* Opening a FIFO or a device must not block the worker. */
#define OPEN_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/* ---- the file ---- */

/* Calls stat(2) before open(2), because opening a device can have side effects. */
static int find_file(struct download *d)
{
	const char *shown = fs_text(d->path, &d->arena);
	struct stat st;

	if (stat(d->path, &st) < 0) {
		if (errno == ENOENT)
			return error_set(&d->err, ERROR_NOT_FOUND, "path '%s' does not exist",
					 shown);
		return error_set_errno(&d->err, ERROR_INTERNAL, errno,
				       "error checking if path exists '%s'", shown);
	}
	if (S_ISDIR(st.st_mode))
		return error_set(&d->err, ERROR_INVALID_ARGUMENT, "path '%s' is a directory",
				 shown);
	if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))
		return error_set(&d->err, ERROR_INVALID_ARGUMENT, "path '%s' is not a regular file",
				 shown);
	if (d->coding == HEADER_CODING_NONE)
		return error_set(&d->err, ERROR_UNIMPLEMENTED,
				 "error parsing Accept-Encoding: no acceptable encoding found, "
				 "supported: [gzip]");
	d->vary = true;
	if (d->wants_identity && d->identity_refused)
		return error_set(
			&d->err, ERROR_UNIMPLEMENTED,
			"identity encoding not acceptable for Range or conditional request");
	return 0;
}

/* Returns true if a file whose st_size is 0 has contents. FUSE has such files. */
static bool has_bytes(int fd)
{
	char byte;

	return pread(fd, &byte, 1, 0) == 1;
}

static int open_file(struct download *d)
{
	const char *shown = fs_text(d->path, &d->arena);
	struct statfs fs;
	off_t end;

	d->fd = open(d->path, OPEN_FLAGS);
	if (d->fd < 0 || fstat(d->fd, &d->st) < 0)
		return error_set_errno(&d->err, ERROR_INTERNAL, errno, "error opening file '%s'",
				       shown);
	if (S_ISCHR(d->st.st_mode) || S_ISBLK(d->st.st_mode)) {
		/* A disk has a size; /dev/null has none, and /dev/zero counts as empty. */
		end = lseek(d->fd, 0, SEEK_END);
		if (end < 0)
			return error_set_errno(&d->err, ERROR_INTERNAL, errno,
					       "error opening file '%s'", shown);
		d->st.st_size = end;
		return 0;
	}
	if (!S_ISREG(d->st.st_mode))
		return error_set(&d->err, ERROR_INVALID_ARGUMENT, "path '%s' is not a regular file",
				 shown);
	if (fstatfs(d->fd, &fs) == 0) {
		d->far = fs_magic_is_network((long)fs.f_type);
		d->sizeless = fs_magic_is_sizeless((long)fs.f_type) ||
			      (d->far && d->st.st_size == 0 && has_bytes(d->fd));
	}
	return 0;
}

/*
 * Reads up to n bytes from an offset; -1: from the file position. Returns their number, or -errno.
 */
static ssize_t read_some(int fd, char *p, size_t n, off_t offset)
{
	size_t have = 0;
	ssize_t got;

	while (have < n) {
		if (offset < 0)
			got = read(fd, p + have, n - have);
		else
			got = pread(fd, p + have, n - have, offset + (off_t)have);
		if (got < 0 && errno == EINTR)
			continue;
		/* A trace pipe of tracefs without further data. */
		if (got < 0 && errno == EAGAIN)
			break;
		if (got < 0)
			return have ? (ssize_t)have : -errno;
		if (got == 0)
			break;
		have += (size_t)got;
	}
	return (ssize_t)have;
}

/* ---- the plan ---- */

static int fail_read(struct download *d, int errnum)
{
	return error_set_errno(&d->err, ERROR_INTERNAL, errnum, "error reading file '%s'",
			       fs_text(d->path, &d->arena));
}

/*
 * Finds the type of the file by its extension, or else by its first bytes; `bytes` contains some of
 * them already. (The read has a second use: it updates the access time, which can block on the
 * journal of the file system. It blocks this worker instead of the loop that sends the file later.)
 */
static int find_type(struct download *d)
{
	char start[FS_SNIFF_BYTES];
	const char *p = d->bytes;
	ssize_t n = (ssize_t)d->n_bytes;

	d->type = fs_type_by_extension(d->asked, &d->arena);
	if (d->type && d->n_bytes)
		return 0;
	if (!d->n_bytes && !d->sizeless && d->st.st_size) {
		p = start;
		n = read_some(d->fd, start, sizeof(start), 0);
		if (n < 0)
			return fail_read(d, (int)n);
	}
	if (!d->type && d->gzip)
		d->type = "application/octet-stream";
	if (!d->type)
		d->type = fs_type_by_content(p, (size_t)n);
	return 0;
}

/* Reads the beginning of a file without a size, at most one piece. */
static int read_sizeless(struct download *d)
{
	ssize_t n;

	d->bytes = mem_alloc(DOWNLOAD_SMALL_BYTES);
	n = read_some(d->fd, d->bytes, DOWNLOAD_SMALL_BYTES, -1);
	if (n < 0)
		return fail_read(d, (int)n);
	d->n_bytes = (size_t)n;
	d->answer = n < DOWNLOAD_SMALL_BYTES ? DOWNLOAD_BYTES : DOWNLOAD_MADE;
	d->gzip =
		d->answer == DOWNLOAD_MADE && d->coding == HEADER_CODING_GZIP && !d->wants_identity;
	return find_type(d);
}

/* Returns true if gzip makes a large file smaller, judged by three samples. */
static bool sample_file(const struct download *d)
{
	char *sample = mem_alloc(GZIP_SAMPLE_BYTES);
	off_t last = d->st.st_size - GZIP_SAMPLE_BYTES;
	bool worthwhile = false;
	ssize_t n;
	int i;

	for (i = 0; i < 3 && !worthwhile; i++) {
		n = read_some(d->fd, sample, GZIP_SAMPLE_BYTES, last / 2 * i);
		worthwhile = n > 0 && gzip_worthwhile(sample, (size_t)n);
	}
	free(sample);
	return worthwhile;
}

/*
 * Reads the only range, which is small. If the file was truncated in the meantime, its current
 * length counts.
 */
static int read_range(struct download *d)
{
	struct fs_range *range = &d->ranges[0];
	ssize_t n;

	d->bytes = mem_alloc(range->length + 1);
	n = read_some(d->fd, d->bytes, range->length, (off_t)range->start);
	if (n < 0)
		return fail_read(d, (int)n);
	if ((uint64_t)n < range->length && d->partial)
		return error_set(&d->err, ERROR_INTERNAL, "the file was cut while it was read");
	d->n_bytes = (size_t)n;
	d->answer = DOWNLOAD_BYTES;
	return 0;
}

/* Compresses the small file in `bytes`, if that makes it smaller or the client refuses identity. */
static void compress_bytes(struct download *d)
{
	char *packed;
	size_t n;

	gzip_compress(d->bytes, d->n_bytes, 0, &packed, &n);
	if (n >= d->n_bytes && !d->identity_refused) {
		free(packed);
		return;
	}
	free(d->bytes);
	d->bytes = packed;
	d->n_bytes = n;
	d->gzip = true;
}

/* Plans the whole file, in the coding that the client prefers. */
static int plan_whole(struct download *d)
{
	bool gzip = d->coding == HEADER_CODING_GZIP && !d->wants_identity;

	d->ranges = arena_zalloc(&d->arena, sizeof(*d->ranges));
	d->ranges[0].length = (uint64_t)d->st.st_size;
	d->n_ranges = 1;
	if (d->st.st_size <= DOWNLOAD_SMALL_BYTES) {
		if (read_range(d) < 0 || find_type(d) < 0)
			return -1;
		if (gzip && d->n_bytes)
			compress_bytes(d);
		if (d->gzip)
			d->type = fs_type_by_extension(d->asked, &d->arena);
		if (!d->type)
			d->type = "application/octet-stream";
		return 0;
	}
	d->gzip = gzip && (d->identity_refused || sample_file(d));
	d->answer = d->gzip || d->far ? DOWNLOAD_MADE : DOWNLOAD_FILE;
	return find_type(d);
}

static int plan_ranges(struct download *d)
{
	d->partial = true;
	d->answer = d->far ? DOWNLOAD_MADE : DOWNLOAD_FILE;
	if (d->n_ranges == 1 && d->ranges[0].length <= DOWNLOAD_SMALL_BYTES && read_range(d) < 0)
		return -1;
	/* The type is detected by the first bytes of the file, and `bytes` may contain others. */
	if (d->answer == DOWNLOAD_BYTES && d->ranges[0].start) {
		char *bytes = d->bytes;
		size_t n = d->n_bytes;
		int r;

		d->bytes = NULL;
		d->n_bytes = 0;
		r = find_type(d);
		d->bytes = bytes;
		d->n_bytes = n;
		return r;
	}
	return find_type(d);
}

/* Plans the answer for an open file with a size. */
static int plan_file(struct download *d)
{
	struct fs_range ranges[FS_RANGES_MAX];
	const char *range = d->range;

	switch (fs_conditions_check(&d->conditions, &d->validator)) {
	case FS_VERDICT_NOT_MODIFIED:
		d->not_gzip = true;
		/* fall through */
	case FS_VERDICT_NOT_MODIFIED_GZIP:
		d->answer = DOWNLOAD_NOT_MODIFIED;
		return 0;
	case FS_VERDICT_FAILED:
		d->answer = DOWNLOAD_PRECONDITION;
		return 0;
	case FS_VERDICT_GO:
		break;
	}
	if (!fs_conditions_range(&d->conditions, &d->validator))
		range = NULL;
	switch (fs_ranges_parse(range, (uint64_t)d->st.st_size, ranges, &d->n_ranges)) {
	case FS_RANGES_INVALID:
		d->answer = DOWNLOAD_BAD_RANGE;
		return 0;
	case FS_RANGES_UNSATISFIABLE:
		d->answer = DOWNLOAD_UNSATISFIABLE;
		return 0;
	case FS_RANGES_NONE:
		return plan_whole(d);
	case FS_RANGES_SOME:
		break;
	}
	/*
	 * The worker sends only one range of a network file; for several ranges, send the whole
	 * file.
	 */
	if (d->far && d->n_ranges > 1)
		return plan_whole(d);
	d->ranges = arena_memdup(&d->arena, ranges, d->n_ranges * sizeof(*ranges));
	return plan_ranges(d);
}

void download_plan(struct download *d)
{
	struct timespec now;
	int r;

	if (find_file(d) < 0 || open_file(d) < 0) {
		d->answer = DOWNLOAD_FAILURE;
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	fs_validator_init(&d->validator, &d->st, &now);
	r = d->sizeless ? read_sizeless(d) : plan_file(d);
	if (r < 0)
		d->answer = DOWNLOAD_FAILURE;
	if (d->answer == DOWNLOAD_BYTES && !d->far)
		fd_close(&d->fd);
}
