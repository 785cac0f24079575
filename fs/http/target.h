/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file that an upload is written to. On a worker:
 *
 *	fs_target_open → fs_target_write … → fs_target_finish → fs_target_close
 *
 * If an error or the client ends the upload early, the caller skips fs_target_finish.
 *
 * By default the file is written in place: an existing file is truncated first. If the upload
 * fails, an existing file keeps the bytes written until then; a file that the upload created is
 * removed, unless the upload was a part (Content-Range). An atomic target is written to a new file
 * that replaces the old one at the end (fs/http/atomic.h). If another upload writes to the same
 * file in place, this upload is written to a new file as well: the upload that ends last wins, and
 * the bytes of the two do not mix.
 */
#ifndef FS_HTTP_TARGET_H
#define FS_HTTP_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "fs/http/exclusion.h"
#include "fs/http/range.h"
#include "fs/metadata.h"
#include "fs/place.h"

struct evbuffer;
struct fs_atomic;

/* How the request wants the file to be written. Borrowed. */
struct fs_target_options {
	uid_t uid;
	gid_t gid;
	struct fs_metadata metadata;
	bool atomic;
	bool keep_owner;	   /* an existing file is not given to the user */
	bool sync;		   /* file and directory are on the disk before the answer */
	const char *if_match;	   /* NULL: no condition */
	const char *if_none_match; /* NULL: no condition */
	bool has_range;		   /* write this part only; not together with `atomic` */
	struct fs_content_range range;
};

enum fs_target_state {
	FS_TARGET_CLOSED,   /* not open, or closed */
	FS_TARGET_IN_PLACE, /* an existing file is written */
	FS_TARGET_CREATED,  /* a file that this upload created is written in place */
	FS_TARGET_BESIDE,   /* a new file is written that replaces the old one at the end */
	FS_TARGET_FINISHED, /* fs_target_finish has succeeded */
};

struct fs_target {
	const struct fs_target_options *options;
	const char *path; /* absolute, resolved; borrowed */
	enum fs_target_state state;
	int fd; /* -1: not open */
	uint64_t written;
	bool is_new;		  /* the file has no metadata yet */
	int64_t size;		  /* size of the existing file if a range did not fit; else -1 */
	struct fs_place place;	  /* FS_TARGET_CREATED */
	struct fs_writer writer;  /* for a file that is written in place */
	struct fs_atomic *atomic; /* FS_TARGET_BESIDE */
};

/*
 * Opens the file. 0, or -1 with `err`: the errors of compatibility/files,
 * ERROR_FAILED_PRECONDITION if a condition does not hold, and ERROR_OUT_OF_RANGE or ERROR_ABORTED
 * for a range.
 */
int fs_target_open(struct fs_target *t, const char *path, const struct fs_target_options *options,
		   struct error *err);

/* Write all the bytes. fs_target_write_buffer drains `data`. 0, or -1 with `err`. */
int fs_target_write(struct fs_target *t, const void *p, size_t n, struct error *err);
int fs_target_write_buffer(struct fs_target *t, struct evbuffer *data, struct error *err);

/* Completes the upload: writes metadata, syncs, and renames a file of FS_TARGET_BESIDE. */
int fs_target_finish(struct fs_target *t, struct error *err);

/* Closes. Undoes an upload that was not finished. Accepts a target that is all zero. */
void fs_target_close(struct fs_target *t);

#endif
