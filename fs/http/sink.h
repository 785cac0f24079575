/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passes the body of an upload to a worker, piece by piece. While the worker takes one piece, the
 * loop gathers the next; when that one is full, the loop stops reading. So at most two pieces of
 * FS_SINK_PIECE_BYTES are in memory, whatever the length of the body. They are charged to
 * BUDGET_CLASS_UPLOADS. A body that fits into one piece takes one trip to a worker.
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

enum fs_sink_state {
	FS_SINK_GATHERING, /* the loop gathers a piece, and no worker is busy */
	FS_SINK_TAKING,	   /* a worker takes a piece, and the loop gathers the next one */
	FS_SINK_LENT,	   /* a worker takes a piece, and then reads the body from the socket */
};

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
	struct evbuffer *piece; /* this and `loan` belong to the worker unless GATHERING */
	struct body_loan loan;
	struct budget_share share; /* charges the pieces and the worker's own reads */
	size_t submitted_bytes;
	enum fs_sink_state state; /* written by sink_set_state */
	int result;		  /* of the last `take` */
	bool short_of_room;	  /* the budget refused the last charge */
	bool ended;		  /* the loop has the end of the body */
	bool last;		  /* the piece has the end of the body */
	bool flows;		  /* the last read of the worker was a large one */
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
