#include "rpc/stream_body_file.h"

#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/work.h"
#include "rpc/stream_impl.h"

/*
 * One such transfer. It holds a reference to the stream while a worker is at it: the ending may
 * come meanwhile, but the descriptor is borrowed only until then, so the worker has its own.
 */
struct stream_body_file {
	struct work work;
	struct stream *stream;
	struct workers *workers;
	stream_body_done_fn *done;
	int fd; /* a duplicate */
	off_t offset;
	int64_t written; /* or -errno */
	struct evbuffer *gathered;
	struct evbuffer *writing; /* the worker's while `busy` */
	bool busy;
	bool ended; /* the body is complete */
};

static void body_file_free(struct stream_body_file *f)
{
	evbuffer_free(f->gathered);
	evbuffer_free(f->writing);
	close(f->fd);
	free(f);
}

/* On a worker: writes the piece. */
static void body_file_run(struct work *work)
{
	struct stream_body_file *f = container_of(work, struct stream_body_file, work);
	struct evbuffer_iovec iov[32];
	ssize_t done;
	int n;

	while (evbuffer_get_length(f->writing)) {
		n = evbuffer_peek(f->writing, -1, NULL, iov, ARRAY_LEN(iov));
		if (n > (int)ARRAY_LEN(iov))
			n = ARRAY_LEN(iov);
		done = pwritev(f->fd, (struct iovec *)iov, n, f->offset);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0) {
			f->written = done < 0 ? -errno : -EIO;
			return;
		}
		f->offset += done;
		f->written += done;
		evbuffer_drain(f->writing, (size_t)done);
	}
}

/* Says the result, once. */
static void body_file_settle(struct stream_body_file *f)
{
	struct stream *s = f->stream;
	stream_body_done_fn *done = f->done;
	int64_t result = f->written;

	s->body_file = NULL;
	body_file_free(f);
	stream_unhold(s);
	if (!s->ended)
		done(s, result);
	stream_unref(s);
}

/* Starts the next piece, or ends; recomputes whether the stream is held. */
static void body_file_update(struct stream_body_file *f)
{
	struct evbuffer *swap;
	size_t waiting = evbuffer_get_length(f->gathered);

	if (f->busy) {
		if (waiting >= BODY_FILE_PIECE_BYTES)
			stream_hold(f->stream);
		return;
	}
	if (f->stream->ended || f->written < 0 || (f->ended && !waiting)) {
		body_file_settle(f);
		return;
	}
	if (!waiting || (!f->ended && waiting < BODY_FILE_PIECE_BYTES))
		return;
	swap = f->writing;
	f->writing = f->gathered;
	f->gathered = swap;
	f->busy = true;
	work_submit(f->workers, &f->work);
	stream_unhold(f->stream);
}

static void body_file_done(struct work *work)
{
	struct stream_body_file *f = container_of(work, struct stream_body_file, work);

	f->busy = false;
	body_file_update(f);
}

void stream_body_to_fd(struct stream *s, struct workers *workers, int fd, off_t offset,
		       stream_body_done_fn *done)
{
	struct stream_body_file *f;

	if (s->ended)
		return;
	f = mem_zalloc(sizeof(*f));
	f->work.run = body_file_run;
	f->work.done = body_file_done;
	f->stream = stream_ref(s);
	f->workers = workers;
	f->done = done;
	f->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	f->offset = offset;
	f->gathered = evbuffer_new();
	f->writing = evbuffer_new();
	if (!f->gathered || !f->writing)
		fatal("evbuffer_new failed");
	if (f->fd < 0)
		f->written = -errno;
	s->body_file = f;
}

void stream_body_file_data(struct stream *s, struct evbuffer *data)
{
	struct stream_body_file *f = s->body_file;

	evbuffer_add_buffer(f->gathered, data);
	body_file_update(f);
}

void stream_body_file_end(struct stream *s)
{
	s->body_file->ended = true;
	body_file_update(s->body_file);
}

void stream_body_file_abandon(struct stream *s)
{
	if (!s->body_file->busy)
		body_file_settle(s->body_file);
}
