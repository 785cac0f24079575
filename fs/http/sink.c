/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/http/sink.h"

#include <event2/buffer.h>

#include "base/buffer.h"
#include "base/log.h"
#include "base/mem.h"
#include "rpc/http/read_pool.h"
#include "rpc/http/stream.h"

/* A worker that reads from the socket stops after this time, so that other work gets its turn. */
#define LOAN_SLICE_MS 50

/*
 * The time that a worker waits for more bytes. Returning the socket to the loop costs two thread
 * switches.
 */
#define LOAN_WAIT_MS 1

/*
 * If a read returns fewer bytes, the client is slower than the worker, and the loop collects the
 * next piece. Otherwise a slow client would occupy a thread.
 */
#define LOAN_READ_BYTES (32 * 1024)

static void sink_body(struct stream *s, struct evbuffer *data);
static void sink_body_end(struct stream *s);
static void sink_gone(struct stream *s);

static const struct stream_handler sink_handler = {
	.body = sink_body,
	.body_end = sink_body_end,
	.gone = sink_gone,
};

static void sink_set_state(struct fs_sink *sink, enum fs_sink_state state)
{
	static const char *const names[] = {"gathering", "taking", "lent"};

	log_debug("upload %ju: %s -> %s", (uintmax_t)stream_id(sink->stream), names[sink->state],
		  names[state]);
	sink->state = state;
}

/* ---- on a worker ---- */

static void take_piece(struct fs_sink *sink)
{
	sink->result = sink->take(sink, sink->piece, sink->last);
	evbuffer_drain(sink->piece, evbuffer_get_length(sink->piece));
}

/*
 * Reads and processes the body, until LOAN_SLICE_MS have passed or a read returns fewer than
 * LOAN_READ_BYTES (`flows` becomes false).
 */
static void take_loan(struct fs_sink *sink)
{
	uint64_t until = clock_monotonic_ms() + LOAN_SLICE_MS;
	size_t n;

	sink->flows = true;
	while (sink->flows && sink->result == 0 && clock_monotonic_ms() < until) {
		n = body_loan_read(&sink->loan, sink->piece, LOAN_WAIT_MS);
		sink->flows = n >= LOAN_READ_BYTES;
		if (n)
			take_piece(sink);
	}
}

static void sink_run(struct work *work)
{
	struct fs_sink *sink = container_of(work, struct fs_sink, work);

	sink->flows = false;
	take_piece(sink);
	if (sink->state == FS_SINK_LENT)
		take_loan(sink);
}

/* ---- on the loop ---- */

/*
 * Charges the gathered bytes and the bytes that the worker holds. If the budget has no room,
 * `short_of_room` is set: the gathered bytes go to the worker as soon as it is free, and the stream
 * is held until then. The upload becomes slower and does not fail.
 */
static void charge(struct fs_sink *sink)
{
	size_t bytes = evbuffer_get_length(sink->gathered) + sink->submitted_bytes;

	sink->short_of_room = !budget_share_set(&sink->share, bytes);
}

/*
 * Lends the socket to the worker, if the budget has room for the bytes that the worker will read.
 */
static bool lend(struct fs_sink *sink)
{
	const size_t reads = (size_t)BODY_LOAN_PIECES * READ_PIECE_BYTES;

	if (!budget_share_take(&sink->share, reads))
		return false;
	if (stream_lend(sink->stream, &sink->loan))
		return true;
	budget_share_give(&sink->share, reads);
	return false;
}

/*
 * Passes the gathered bytes to the worker, and lends it the socket if a large part of the body is
 * still to come.
 */
static void submit(struct fs_sink *sink)
{
	struct evbuffer *swap = sink->piece;

	sink->piece = sink->gathered;
	sink->gathered = swap;
	sink->last = sink->ended;
	sink->submitted_bytes = evbuffer_get_length(sink->piece);
	sink_set_state(sink, lend(sink) ? FS_SINK_LENT : FS_SINK_TAKING);
	work_submit(sink->workers, &sink->work);
}

/* Decides the next step: submits to the worker, holds the stream, or ends. */
static void sink_update(struct fs_sink *sink)
{
	size_t waiting = evbuffer_get_length(sink->gathered);
	bool full = waiting >= FS_SINK_PIECE_BYTES || (waiting && sink->short_of_room);

	if (sink->state != FS_SINK_GATHERING) {
		if (full)
			stream_hold(sink->stream);
	} else if (!stream_live(sink->stream)) {
		sink->gone(sink);
	} else if (sink->result < 0 || sink->last) {
		stream_unhold(sink->stream);
		sink->done(sink);
	} else if (sink->ended || full ||
		   (sink->flows && !waiting && sink->loan.left >= BODY_LOAN_MIN_BYTES)) {
		submit(sink);
		stream_unhold(sink->stream);
	} else {
		stream_unhold(sink->stream);
	}
}

static void sink_done(struct work *work)
{
	struct fs_sink *sink = container_of(work, struct fs_sink, work);

	if (sink->state == FS_SINK_LENT)
		stream_return(sink->stream, &sink->loan);
	sink_set_state(sink, FS_SINK_GATHERING);
	sink->submitted_bytes = 0;
	charge(sink);
	sink_update(sink);
}

static void sink_body(struct stream *s, struct evbuffer *data)
{
	struct fs_sink *sink = stream_data(s);

	buffer_gather(sink->gathered, data);
	if (sink->state != FS_SINK_LENT)
		charge(sink);
	sink_update(sink);
}

static void sink_body_end(struct stream *s)
{
	struct fs_sink *sink = stream_data(s);

	sink->ended = true;
	sink_update(sink);
}

static void sink_gone(struct stream *s)
{
	sink_update(stream_data(s));
}

void fs_sink_start(struct fs_sink *sink, struct stream *s, struct workers *workers,
		   struct budget *budget)
{
	sink->stream = stream_ref(s);
	sink->workers = workers;
	sink->work.run = sink_run;
	sink->work.done = sink_done;
	sink->gathered = evbuffer_new();
	sink->piece = evbuffer_new();
	budget_share_init(&sink->share, budget, BUDGET_CLASS_UPLOADS);
	stream_set_handler(s, &sink_handler, sink);
	if (stream_head_in(s)->expect_continue) {
		stream_hold(s);
		submit(sink);
	}
}

void fs_sink_clear(struct fs_sink *sink)
{
	budget_share_clear(&sink->share);
	evbuffer_free(sink->gathered);
	evbuffer_free(sink->piece);
	stream_unref(sink->stream);
}
