/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/http/sink.h"

#include <event2/buffer.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "rpc/http/stream.h"

/* A worker that reads the body itself goes on for so long, then others have their turn. */
#define LOAN_SLICE_MS 50

/* It waits so long for more, for the loop to wait takes two switches of threads. */
#define LOAN_WAIT_MS 1

/*
 * Where a read brings less, the client is no faster than we are. The loop then gathers the next piece:
 * a client that sends little by little would have a thread to itself.
 */
#define LOAN_READ_BYTES (32 * 1024)

static void take_piece(struct fs_sink *sink)
{
	sink->result = sink->take(sink, sink->piece, sink->last);
	evbuffer_drain(sink->piece, evbuffer_get_length(sink->piece));
}

/* Reads the body and takes it until the time is up, or little comes; says in `flows` which. */
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
	if (sink->lent)
		take_loan(sink);
}

/* Hands what was gathered to the worker, and the rest of the body with it where that is large. */
static void submit(struct fs_sink *sink)
{
	struct evbuffer *swap = sink->piece;

	sink->piece = sink->gathered;
	sink->gathered = swap;
	sink->last = sink->ended;
	sink->busy = true;
	sink->lent = stream_lend(sink->stream, &sink->loan);
	work_submit(sink->workers, &sink->work);
}

/* Decides what is next: the only place that submits, holds, and ends. */
static void sink_update(struct fs_sink *sink)
{
	size_t waiting = evbuffer_get_length(sink->gathered);

	if (sink->busy) {
		if (waiting >= FS_SINK_PIECE_BYTES)
			stream_hold(sink->stream);
	} else if (!stream_live(sink->stream)) {
		sink->gone(sink);
	} else if (sink->result < 0 || sink->last) {
		stream_unhold(sink->stream);
		sink->done(sink);
	} else if (sink->ended || waiting >= FS_SINK_PIECE_BYTES ||
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

	sink->busy = false;
	if (sink->lent)
		stream_return(sink->stream, &sink->loan);
	sink->lent = false;
	sink_update(sink);
}

static void sink_body(struct stream *s, struct evbuffer *data)
{
	struct fs_sink *sink = stream_data(s);

	buffer_gather(sink->gathered, data);
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

static const struct stream_handler sink_handler = {
	.body = sink_body,
	.body_end = sink_body_end,
	.gone = sink_gone,
};

void fs_sink_start(struct fs_sink *sink, struct stream *s, struct workers *workers)
{
	sink->stream = stream_ref(s);
	sink->workers = workers;
	sink->work.run = sink_run;
	sink->work.done = sink_done;
	sink->gathered = evbuffer_new();
	sink->piece = evbuffer_new();
	if (!sink->gathered || !sink->piece)
		fatal("evbuffer_new failed");
	stream_set_handler(s, &sink_handler, sink);
	if (stream_head_in(s)->expect_continue) {
		stream_hold(s);
		submit(sink);
	}
}

void fs_sink_clear(struct fs_sink *sink)
{
	evbuffer_free(sink->gathered);
	evbuffer_free(sink->piece);
	stream_unref(sink->stream);
}
