/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/codec/gzip.h"

#include <errno.h>
#include <stdlib.h>
/* For pointers to const. */
#define ZLIB_CONST
#include <zlib.h>

#include "base/mem.h"

/* zlib adds 16 to the window's bits for gzip's header and trailer. */
#define GZIP_WRAPPER 16

void *gzip_alloc(void *unused, unsigned n, unsigned bytes)
{
	return mem_alloc((size_t)n * bytes);
}

void gzip_release(void *unused, void *p)
{
	free(p);
}

void gzip_compress(const void *p, size_t n, size_t headroom, char **ret, size_t *ret_bytes)
{
	z_stream z = {.zalloc = gzip_alloc, .zfree = gzip_release};
	size_t bound;
	int bits = 9;

	/*
	 * A window no larger than the message, and a hash table to match: zlib clears both, which
	 * for a short message would be most of the work.
	 */
	while (bits < MAX_WBITS && (size_t)1 << bits < n)
		bits++;
	/* Fatal: only a wrong parameter fails. */
	if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, bits + GZIP_WRAPPER, bits - 7,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		fatal("deflateInit2 failed");
	bound = deflateBound(&z, n);
	*ret = mem_alloc(headroom + bound);
	z.next_in = p;
	z.avail_in = (uInt)n;
	z.next_out = (Bytef *)*ret + headroom;
	z.avail_out = (uInt)bound;
	/* Fatal: zlib promises that one call suffices with deflateBound bytes (zlib.h). */
	if (deflate(&z, Z_FINISH) != Z_STREAM_END)
		fatal("gzip: %zu bytes do not fit deflateBound", n);
	*ret_bytes = z.total_out;
	deflateEnd(&z);
}

struct gunzip {
	z_stream z;
	bool in_member; /* one has begun */
	bool complete;	/* one has ended, and none begun since */
	bool corrupt;
};

static void gunzip_init(struct gunzip *g)
{
	*g = (struct gunzip){.z = {.zalloc = gzip_alloc, .zfree = gzip_release}};
	/* Fatal: only a wrong parameter fails. */
	if (inflateInit2(&g->z, MAX_WBITS + GZIP_WRAPPER) != Z_OK)
		fatal("inflateInit2 failed");
}

struct gunzip *gunzip_new(void)
{
	struct gunzip *g = mem_alloc(sizeof(*g));

	gunzip_init(g);
	return g;
}

void gunzip_free(struct gunzip *g)
{
	if (!g)
		return;
	inflateEnd(&g->z);
	free(g);
}

ssize_t gunzip_read(struct gunzip *g, const char **p, size_t *n, void *out, size_t out_bytes)
{
	z_stream *z = &g->z;
	int r = Z_OK;

	if (g->corrupt)
		return -EBADMSG;
	z->next_in = (const Bytef *)*p;
	z->avail_in = (uInt)*n;
	z->next_out = out;
	z->avail_out = (uInt)out_bytes;
	while (z->avail_out > 0) {
		/* Another member may follow one that ended (RFC 1952 section 2.2). */
		if (!g->in_member) {
			if (z->avail_in == 0)
				break;
			inflateReset(z);
			g->in_member = true;
			g->complete = false;
		}
		r = inflate(z, Z_NO_FLUSH);
		if (r == Z_STREAM_END) {
			g->in_member = false;
			g->complete = true;
		} else if (r != Z_OK) {
			break;
		}
	}
	*p = (const char *)z->next_in;
	*n = z->avail_in;
	/* Z_BUF_ERROR only means that more input is needed. */
	if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR) {
		g->corrupt = true;
		return -EBADMSG;
	}
	return (ssize_t)(out_bytes - z->avail_out);
}

bool gunzip_complete(const struct gunzip *g)
{
	return g->complete;
}

int gzip_decompress(const void *data, size_t n, size_t max_bytes, char **ret, size_t *ret_bytes)
{
	size_t capacity = n * 4 + 256, used = 0;
	const char *p = data;
	struct gunzip g;
	char *out, extra;
	ssize_t got;
	int r = 0;

	if (capacity > max_bytes)
		capacity = max_bytes;
	out = mem_alloc(capacity);
	gunzip_init(&g);
	for (;;) {
		bool full = used == capacity;

		if (full && capacity < max_bytes) {
			capacity = capacity < max_bytes / 2 ? capacity * 2 : max_bytes;
			out = mem_realloc(out, capacity);
			full = false;
		}
		/* At the limit one byte more is asked for, that must not be there. */
		got = gunzip_read(&g, &p, &n, full ? &extra : out + used,
				  full ? 1 : capacity - used);
		if (got < 0)
			r = -EBADMSG;
		else if (full && got > 0)
			r = -EMSGSIZE;
		if (r < 0 || got == 0)
			break;
		used += (size_t)got;
	}
	if (r == 0 && !gunzip_complete(&g))
		r = -EBADMSG;
	inflateEnd(&g.z);
	if (r < 0) {
		free(out);
		return r;
	}
	*ret = out;
	*ret_bytes = used;
	return 0;
}
