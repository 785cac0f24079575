/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A response body that a worker makes piece by piece: gzip of a file, a file without a size, a tar
 * stream. While one piece is on its way to the client the next is made; no more.
 */
#ifndef FS_HTTP_SOURCE_H
#define FS_HTTP_SOURCE_H

#include <stdbool.h>

#include "base/work.h"

struct evbuffer;
struct stream;

/* About so much is one piece. */
#define FS_SOURCE_PIECE_BYTES (128 * 1024)

struct fs_source {
	/*
	 * Adds the next piece to `out`; on a worker. 1: more to come, 0: that was all, or -errno.
	 */
	int (*fill)(struct fs_source *src, struct evbuffer *out);
	/*
	 * Whether it may go on, after each piece; on the loop. False: the response is broken off.
	 * May be NULL.
	 */
	bool (*admit)(struct fs_source *src);
	/* The end, good or bad; the last call. On the loop. Frees what belongs to the source. */
	void (*release)(struct fs_source *src);

	/* The rest is the source's own. */
	struct work work;
	struct stream *stream;
	struct workers *workers;
	struct evbuffer *out;
	int result; /* of the last fill */
	bool busy;
	bool full; /* the stream takes no more for now */
};

/*
 * Begins, once the response's head was sent (without a length). Becomes the stream's handler; the
 * caller has set fill and release, and everything else is zero.
 */
void fs_source_start(struct fs_source *src, struct stream *s, struct workers *workers);

#endif
