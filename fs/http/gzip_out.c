/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/http/gzip_out.h"

#include <event2/buffer.h>
#include <stdlib.h>
/* For pointers to const. */
#define ZLIB_CONST
#include <zlib.h>

#include "base/mem.h"
#include "rpc/codec/gzip.h"

/* zlib adds 16 to the window's bits for gzip's header and trailer. */
#define GZIP_WRAPPER 16

/*
 * From level 4 on, zlib uses lazy matching (deflate.c): half the speed for an output smaller by a
 * tenth.
 */
#define LEVEL 3

/* The number of bytes after which a new sample decides the level. */
#define BLOCK_BYTES (256 * 1024)

#define OUT_BYTES (32 * 1024)

struct gzip_out {
	z_stream z;
	int level;
	size_t left; /* bytes until the next sample */
};

struct gzip_out *gzip_out_new(void)
{
	struct gzip_out *g = mem_zalloc(sizeof(*g));

	g->level = LEVEL;
	g->z.zalloc = gzip_alloc;
	g->z.zfree = gzip_release;
	/* Fatal: only a wrong parameter fails. */
	if (deflateInit2(&g->z, g->level, Z_DEFLATED, MAX_WBITS + GZIP_WRAPPER, MAX_MEM_LEVEL - 1,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		fatal("deflateInit2 failed");
	return g;
}

void gzip_out_free(struct gzip_out *g)
{
	if (!g)
		return;
	deflateEnd(&g->z);
	free(g);
}

bool gzip_worthwhile(const void *p, size_t n)
{
	unsigned char out[1024];
	z_stream z = {.zalloc = gzip_alloc, .zfree = gzip_release};
	int r;

	if (n > GZIP_SAMPLE_BYTES)
		n = GZIP_SAMPLE_BYTES;
	/* Fatal: only a wrong parameter fails. */
	if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS, MAX_MEM_LEVEL - 1,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		fatal("deflateInit2 failed");
	z.next_in = p;
	z.avail_in = (uInt)n;
	do {
		z.next_out = out;
		z.avail_out = sizeof(out);
		r = deflate(&z, Z_FINISH);
	} while (r == Z_OK && z.total_out <= n);
	deflateEnd(&z);
	return r == Z_STREAM_END && z.total_out <= n - n / 16;
}

/* Runs zlib until it has consumed the input and has no more output. */
static void run(struct gzip_out *g, int flush, struct evbuffer *out)
{
	struct evbuffer_iovec iov;
	int r;

	do {
		evbuffer_reserve_space(out, OUT_BYTES, &iov, 1);
		g->z.next_out = iov.iov_base;
		g->z.avail_out = (uInt)iov.iov_len;
		r = deflate(&g->z, flush);
		iov.iov_len -= g->z.avail_out;
		evbuffer_commit_space(out, &iov, 1);
		/* Fatal: only a stream that is not initialised, or has ended, fails. */
		if (r == Z_STREAM_ERROR)
			fatal("deflate: %d", r);
	} while (g->z.avail_out == 0 || (flush == Z_FINISH && r != Z_STREAM_END));
}

/* Chooses the level for the next block by a sample of it. */
static void choose_level(struct gzip_out *g, const void *p, size_t n, struct evbuffer *out)
{
	int level = gzip_worthwhile(p, n) ? LEVEL : Z_NO_COMPRESSION;
	struct evbuffer_iovec iov;
	int r;

	if (level == g->level)
		return;
	g->level = level;
	/* Write the pending input with the old level first. */
	g->z.avail_in = 0;
	do {
		evbuffer_reserve_space(out, OUT_BYTES, &iov, 1);
		g->z.next_out = iov.iov_base;
		g->z.avail_out = (uInt)iov.iov_len;
		r = deflateParams(&g->z, level, Z_DEFAULT_STRATEGY);
		iov.iov_len -= g->z.avail_out;
		evbuffer_commit_space(out, &iov, 1);
	} while (r == Z_BUF_ERROR);
}

void gzip_out_write(struct gzip_out *g, const void *data, size_t n, bool last, struct evbuffer *out)
{
	const char *p = data;
	size_t bytes;

	while (n) {
		/* A sample below 4 KiB says little. */
		if (g->left == 0) {
			if (n >= 4096)
				choose_level(g, p, n, out);
			g->left = BLOCK_BYTES;
		}
		bytes = n < g->left ? n : g->left;
		g->z.next_in = (const Bytef *)p;
		g->z.avail_in = (uInt)bytes;
		run(g, Z_NO_FLUSH, out);
		p += bytes;
		n -= bytes;
		g->left -= bytes;
	}
	if (last) {
		g->z.avail_in = 0;
		run(g, Z_FINISH, out);
	}
}
