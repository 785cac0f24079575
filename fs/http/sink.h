/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request body that a worker takes piece by piece: uploads. While one piece is worked on the
 * next is gathered; then the stream is held. So two pieces of FS_SINK_PIECE_BYTES are in memory
 * whatever the length of the body, and a body that fits one piece takes a single trip to a worker.
 *
 * Of a large body the worker reads the rest itself (rpc/http/body_loan.h), as long as it comes.
 */
#ifndef FS_HTTP_SINK_H
#define FS_HTTP_SINK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/work.h"
#include "rpc/http/body_loan.h"

struct evbuffer;
struct stream;

#define FS_SINK_PIECE_BYTES (256 * 1024)

struct fs_sink {
	/*
	 * Takes all of the piece; on a worker. `last`: the body is complete with it. 0, or -1 where
	 * the rest of the body does not matter any more.
	 */
	int (*take)(struct fs_sink *sink, struct evbuffer *piece, bool last);
	/* All was taken, or take said -1: answer and free. On the loop; the last call but `gone`. */
	void (*done)(struct fs_sink *sink);
	/* The client went away, or the daemon ends: undo and free. On the loop, instead of `done`. */
	void (*gone)(struct fs_sink *sink);

	/* The rest is the sink's own. */
	struct work work;
	struct stream *stream;
	struct workers *workers;
	struct evbuffer *gathered;
	struct evbuffer *piece; /* the worker's while `busy` */
	struct body_loan loan;	/* the same */
	int result;
	bool busy;
	bool ended; /* the body is complete */
	bool last;  /* and the worker has its end */
	bool lent;  /* the worker reads the body itself */
	bool flows; /* and it kept coming */
};

/*
 * Begins to take the body. Becomes the stream's handler. A client that waits for "100 Continue"
 * gets it when `take` was called for the first time, with an empty piece.
 */
void fs_sink_start(struct fs_sink *sink, struct stream *s, struct workers *workers);

/* Frees what the sink itself has; for `done` and `gone`. */
void fs_sink_clear(struct fs_sink *sink);

#endif
