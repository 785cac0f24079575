/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file that an upload is written to. On a worker:
 *
 *	fs_target_open → fs_target_write … → fs_target_finish → fs_target_close
 *
 * and fs_target_close alone where it does not come to its end. A plain target is changed from the
 * beginning on, as clients know it: truncated, and what was written stays. An atomic one is made
 * beside the file, without a name where the file system can do that (O_TMPFILE), and takes its
 * place at the end or leaves no trace.
 */
#ifndef FS_HTTP_TARGET_H
#define FS_HTTP_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/http/range.h"
#include "fs/http/request.h"
#include "fs/metadata.h"

struct evbuffer;
struct fs_atomic;

/* How a file is to be written; what a request asks for. Borrowed. */
struct fs_target_options {
	uid_t uid;
	gid_t gid;
	struct fs_metadata metadata;
	bool atomic;
	bool sync;		   /* fsync before it counts as written */
	const char *if_match;	   /* NULL: whatever is there */
	const char *if_none_match; /* the same */
	bool has_range;		   /* write just this part; not with `atomic` */
	struct fs_content_range range;
};

struct fs_target {
	const struct fs_target_options *options;
	const char *path; /* absolute, resolved; borrowed */
	int fd;		  /* -1: not open */
	uint64_t written;
	bool is_new;
	int64_t size; /* of the file there was, where a range did not fit; else -1 */
	struct fs_atomic *atomic;
};

/* 0, or -1 and why. Statuses are those of http.md; 412, and 409 and 416 for ranges. */
int fs_target_open(struct fs_target *t, const char *path, const struct fs_target_options *options,
		   struct error *err);

/* Writes, and takes the bytes out of `data` (the first n of it). */
int fs_target_write(struct fs_target *t, const void *p, size_t n, struct error *err);
int fs_target_write_buffer(struct fs_target *t, struct evbuffer *data, struct error *err);

/* The body is complete: metadata, sync, and for an atomic target the change itself. */
int fs_target_finish(struct fs_target *t, struct error *err);

/* Closes, and undoes an atomic target that did not come to its end. For one never opened too. */
void fs_target_close(struct fs_target *t);

#endif
