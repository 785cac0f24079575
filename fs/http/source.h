/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends a response body that a worker makes in pieces: gzip of a file, a file without a size, a tar
 * stream. While the loop sends one piece, the worker makes the next one, but no further piece.
 */
#ifndef FS_HTTP_SOURCE_H
#define FS_HTTP_SOURCE_H

#include <stdbool.h>

#include "base/work.h"

struct evbuffer;
struct stream;

/* The approximate size of a piece. */
#define FS_SOURCE_PIECE_BYTES (128 * 1024)

struct fs_source {
	/*
	 * Adds the next piece to `out`; on a worker. Returns 1 if more follows, 0 at the end, or
	 * -errno.
	 */
	int (*fill)(struct fs_source *src, struct evbuffer *out);
	/*
	 * Called after each piece, on the loop. Returns false to abort the response. May be NULL.
	 */
	bool (*admit)(struct fs_source *src);
	/* Frees the source's memory, after success or failure. On the loop; the last call. */
	void (*release)(struct fs_source *src);

	/* The fields below are private. */
	struct work work;
	struct stream *stream;
	struct workers *workers;
	struct evbuffer *out;
	int result; /* of the last fill */
	bool busy;
	bool full; /* the stream accepts no more until its next writable event */
};

/*
 * Begins, and becomes the stream's handler. The caller has sent the response's head without a
 * length, and has set fill and release (and admit); all other fields are zero.
 */
void fs_source_start(struct fs_source *src, struct stream *s, struct workers *workers);

#endif
