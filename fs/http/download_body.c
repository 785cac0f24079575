/* SPDX-License-Identifier: Apache-2.0 */
/* Download bodies that a worker produces: gzip, files without a size, files on network mounts. */
#include <errno.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "fs/http/download.h"
#include "fs/http/gzip_out.h"
#include "fs/http/source.h"
#include "rpc/context.h"

/* The number of bytes that are read and compressed at a time. */
#define READ_BYTES (64 * 1024)

struct made_body {
	struct fs_source source; /* first */
	struct download *download;
	struct gzip_out *gzip; /* NULL: plain */
	char *buffer;
	uint64_t left; /* remaining bytes of the range; UINT64_MAX: unknown size */
	off_t offset;
};

/* Reads the next bytes. Returns their number, 0 at the end, or -errno. */
static ssize_t read_next(struct made_body *m, char *p, size_t n)
{
	const struct download *d = m->download;
	ssize_t got;

	if (n > m->left)
		n = (size_t)m->left;
	if (n == 0)
		return 0;
	do {
		got = d->sizeless ? read(d->fd, p, n) : pread(d->fd, p, n, m->offset);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? 0 : -errno;
	m->offset += got;
	if (!d->sizeless)
		m->left -= (uint64_t)got;
	return got;
}

/* Adds a piece without compression. If the file ends too early, the response is aborted. */
static int fill_plain(struct made_body *m, struct evbuffer *out)
{
	struct evbuffer_iovec iov;
	ssize_t got;

	evbuffer_reserve_space(out, FS_SOURCE_PIECE_BYTES, &iov, 1);
	got = read_next(m, iov.iov_base, FS_SOURCE_PIECE_BYTES);
	iov.iov_len = got > 0 ? (size_t)got : 0;
	evbuffer_commit_space(out, &iov, 1);
	if (got < 0)
		return (int)got;
	if (m->download->sizeless)
		return got > 0;
	if (got == 0 && m->left)
		return -EIO;
	return m->left > 0;
}

static int fill_gzip(struct made_body *m, struct evbuffer *out)
{
	ssize_t got;

	while (evbuffer_get_length(out) < FS_SOURCE_PIECE_BYTES) {
		got = read_next(m, m->buffer, READ_BYTES);
		if (got < 0)
			return (int)got;
		/* The file became shorter. A complete gzip stream would hide that. */
		if (got == 0 && m->left && !m->download->sizeless)
			return -EIO;
		gzip_out_write(m->gzip, m->buffer, (size_t)got, got == 0, out);
		if (got == 0)
			return 0;
	}
	return 1;
}

static int made_fill(struct fs_source *source, struct evbuffer *out)
{
	struct made_body *m = (struct made_body *)source;
	struct download *d = m->download;

	if (d->n_bytes) {
		/* The beginning of a file without a size was read by the plan. */
		if (m->gzip)
			gzip_out_write(m->gzip, d->bytes, d->n_bytes, false, out);
		else
			evbuffer_add(out, d->bytes, d->n_bytes);
		d->n_bytes = 0;
		return 1;
	}
	return m->gzip ? fill_gzip(m, out) : fill_plain(m, out);
}

static void made_release(struct fs_source *source)
{
	struct made_body *m = (struct made_body *)source;

	gzip_out_free(m->gzip);
	free(m->buffer);
	download_free(m->download);
	free(m);
}

void download_make_body(struct download *d)
{
	struct made_body *m = mem_zalloc(sizeof(*m));

	m->download = d;
	m->left = UINT64_MAX;
	if (!d->sizeless) {
		m->offset = (off_t)d->ranges[0].start;
		m->left = d->ranges[0].length;
	}
	if (d->gzip) {
		m->gzip = gzip_out_new();
		m->buffer = mem_alloc(READ_BYTES);
	}
	m->source.fill = made_fill;
	m->source.release = made_release;
	fs_source_start(&m->source, d->stream, d->context->file_workers);
}
