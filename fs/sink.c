#include "fs/sink.h"

#include <event2/buffer.h>

#include "base/mem.h"
#include "rpc/stream.h"

static void sink_run(struct work *work)
{
	struct fs_sink *sink = container_of(work, struct fs_sink, work);

	sink->result = sink->take(sink, sink->piece, sink->last);
	evbuffer_drain(sink->piece, evbuffer_get_length(sink->piece));
}

/* Hands what was gathered to the worker. */
static void submit(struct fs_sink *sink)
{
	struct evbuffer *swap = sink->piece;

	sink->piece = sink->gathered;
	sink->gathered = swap;
	sink->last = sink->ended;
	sink->busy = true;
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
	} else if (sink->ended || waiting >= FS_SINK_PIECE_BYTES) {
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
	sink_update(sink);
}

static void sink_body(struct stream *s, struct evbuffer *data)
{
	struct fs_sink *sink = stream_data(s);

	evbuffer_add_buffer(sink->gathered, data);
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
