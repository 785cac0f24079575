/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file that an upload is written to. On a worker:
 *
 *	fs_target_open → fs_target_write … → fs_target_finish → fs_target_close
 *
 * fs_target_close alone follows if an error or the client ends the upload early. By default the
 * file is written in place: an existing file is truncated first, and keeps what was written when
 * the upload fails; a file that the upload created is removed then, unless it was a part
 * (Content-Range). An atomic target is written beside the file and takes its place at the end
 * (fs/http/atomic.h). If another upload writes to the same file already, an upload in place is
 * written beside it as well: the one that ends last wins, and their bytes do not mix.
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

/* How a file is to be written; what a request asks for. Borrowed. */
struct fs_target_options {
	uid_t uid;
	gid_t gid;
	struct fs_metadata metadata;
	bool atomic;
	bool keep_owner;	   /* an existing file is not given to the user */
	bool sync;		   /* file and directory are on the disk before the answer */
	const char *if_match;	   /* NULL: no condition */
	const char *if_none_match; /* the same */
	bool has_range;		   /* write this part only; not together with `atomic` */
	struct fs_content_range range;
};

enum fs_target_state {
	FS_TARGET_CLOSED,   /* not open, or closed */
	FS_TARGET_IN_PLACE, /* an existing file is written */
	FS_TARGET_CREATED,  /* a file that this upload created is written, in its place */
	FS_TARGET_BESIDE,   /* a new file is written that will replace the one in its place */
	FS_TARGET_FINISHED, /* the file is as the client wanted it */
};

struct fs_target {
	const struct fs_target_options *options;
	const char *path; /* absolute, resolved; borrowed */
	enum fs_target_state state;
	int fd; /* -1: not open */
	uint64_t written;
	bool is_new;		  /* the file has no metadata yet */
	int64_t size;		  /* of the existing file, if a range did not fit; else -1 */
	struct fs_place place;	  /* of a file that was created */
	struct fs_writer writer;  /* of a file that is written in place */
	struct fs_atomic *atomic; /* of a file that is written beside */
};

/*
 * Opens. 0, or -1 and `err`: besides the statuses of compatibility/files ERROR_FAILED_PRECONDITION
 * for a condition that does not hold, ERROR_OUT_OF_RANGE and ERROR_ABORTED for a range.
 */
int fs_target_open(struct fs_target *t, const char *path, const struct fs_target_options *options,
		   struct error *err);

/* Writes; fs_target_write_buffer drains `data`. */
int fs_target_write(struct fs_target *t, const void *p, size_t n, struct error *err);
int fs_target_write_buffer(struct fs_target *t, struct evbuffer *data, struct error *err);

/* The body is complete: writes metadata, syncs, and replaces the file if it was written beside. */
int fs_target_finish(struct fs_target *t, struct error *err);

/* Closes; undoes what was not finished. For a target of zeros too. */
void fs_target_close(struct fs_target *t);

#endif
