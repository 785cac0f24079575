/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passes the body of an upload to a worker, piece by piece. While the worker takes one piece, the
 * loop gathers the next; when that one is full, the loop stops reading. So at most two pieces of
 * FS_SINK_PIECE_BYTES are in memory, whatever the length of the body, and they are charged to the
 * uploads of the budget. A body that fits into one piece takes one trip to a worker.
 *
 * The worker reads a large body itself (rpc/http/body_loan.h) while the client is fast enough.
 */
#ifndef FS_HTTP_SINK_H
#define FS_HTTP_SINK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/budget.h"
#include "base/work.h"
#include "rpc/http/body_loan.h"

struct evbuffer;
struct stream;

#define FS_SINK_PIECE_BYTES (256 * 1024)

struct fs_sink {
	/*
	 * Takes all of the piece; on a worker. `last`: the body ends with it. 0, or -1 if the rest
	 * of the body is to be ignored.
	 */
	int (*take)(struct fs_sink *sink, struct evbuffer *piece, bool last);
	/*
	 * `take` has taken the whole body or returned -1: answer and free. On the loop; last call.
	 */
	void (*done)(struct fs_sink *sink);
	/*
	 * The client went away, or the daemon ends: undo and free. On the loop; instead of `done`.
	 */
	void (*gone)(struct fs_sink *sink);

	/* Private. */
	struct work work;
	struct stream *stream;
	struct workers *workers;
	struct evbuffer *gathered;
	struct evbuffer *piece;	   /* belongs to the worker while `busy` */
	struct body_loan loan;	   /* belongs to the worker while `busy` */
	struct budget_share share; /* charges the pieces and the worker's own reads */
	size_t submitted_bytes;
	bool short_of_room; /* the budget refused the last charge */
	int result;
	bool busy;
	bool ended; /* the body is complete */
	bool last;  /* the worker has the end of the body */
	bool lent;  /* the worker reads the body itself */
	bool flows; /* the last read of the worker was a large one */
};

/*
 * Begins to take the body, and becomes the stream's handler. A client that waits for "100 Continue"
 * gets it after the first call of `take`, which has an empty piece.
 */
void fs_sink_start(struct fs_sink *sink, struct stream *s, struct workers *workers,
		   struct budget *budget);

/* Frees what belongs to the sink; for `done` and `gone`. */
void fs_sink_clear(struct fs_sink *sink);

#endif
