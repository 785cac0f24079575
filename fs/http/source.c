/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/http/source.h"

#include <event2/buffer.h>

#include "base/mem.h"
#include "rpc/http/stream.h"

static void source_run(struct work *work)
{
	struct fs_source *src = container_of(work, struct fs_source, work);

	src->result = src->fill(src, src->out);
}

static void source_free(struct fs_source *src)
{
	evbuffer_free(src->out);
	stream_unref(src->stream);
	src->release(src);
}

/* Sends the finished piece, and submits the work for the next one. */
static void source_update(struct fs_source *src)
{
	struct stream *s = src->stream;

	if (src->busy)
		return;
	if (!stream_live(s)) {
		source_free(src);
		return;
	}
	if (src->result < 0 || (src->admit && !src->admit(src))) {
		stream_reset(s);
		source_free(src);
		return;
	}
	if (src->full)
		return;
	src->full = stream_send(s, src->out) == STREAM_FULL;
	if (src->result == 0) {
		stream_finish(s);
		source_free(src);
		return;
	}
	src->busy = true;
	work_submit(src->workers, &src->work);
}

static void source_done(struct work *work)
{
	struct fs_source *src = container_of(work, struct fs_source, work);

	src->busy = false;
	source_update(src);
}

static void source_writable(struct stream *s)
{
	struct fs_source *src = stream_data(s);

	src->full = false;
	source_update(src);
}

static void source_gone(struct stream *s)
{
	source_update(stream_data(s));
}

static const struct stream_handler source_handler = {
	.writable = source_writable,
	.gone = source_gone,
};

void fs_source_start(struct fs_source *src, struct stream *s, struct workers *workers)
{
	src->stream = stream_ref(s);
	src->workers = workers;
	src->work.run = source_run;
	src->work.done = source_done;
	src->out = evbuffer_new();
	stream_set_handler(s, &source_handler, src);
	src->busy = true;
	work_submit(workers, &src->work);
}
