/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip (RFC 1952): compresses and decompresses whole messages, and decompresses bodies in pieces.
 *
 * zlib's memory (up to 256 KiB to deflate, 40 KiB to inflate) is allocated while it is needed; a
 * small message needs less. It comes from mem_alloc, so zlib does not fail for lack of memory. All
 * functions may run on any thread.
 */
#ifndef RPC_CODEC_GZIP_H
#define RPC_CODEC_GZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* For z_stream's zalloc and zfree: memory from mem_alloc. */
void *gzip_alloc(void *unused, unsigned n, unsigned bytes);
void gzip_release(void *unused, void *p);

/*
 * Compresses n bytes, for speed rather than for size. Returns memory in *ret that the caller frees
 * (free): `headroom` bytes for the caller to fill, then *ret_bytes of compressed data.
 */
void gzip_compress(const void *p, size_t n, size_t headroom, char **ret, size_t *ret_bytes);

/*
 * Decompresses a whole gzip text, which may have several members. Returns memory in *ret that the
 * caller frees (free). -EMSGSIZE if the result exceeds max_bytes; -EBADMSG if the text is corrupt,
 * truncated, or followed by other data.
 */
int gzip_decompress(const void *data, size_t n, size_t max_bytes, char **ret, size_t *ret_bytes);

/*
 * Decompresses a gzip body in pieces:
 *
 *	struct gunzip *g = gunzip_new();
 *
 *	for each piece of the body:
 *		do {
 *			got = gunzip_read(g, &piece, &piece_bytes, out, sizeof(out));
 *			if (got < 0)
 *				the body is corrupt;
 *			write `got` bytes of out;
 *		} while (got > 0 || piece_bytes > 0);
 *	at the end of the body:
 *		if (!gunzip_complete(g))
 *			the body is truncated;
 *	gunzip_free(g);
 */
struct gunzip;

struct gunzip *gunzip_new(void);
void gunzip_free(struct gunzip *g); /* accepts NULL */

/*
 * Decompresses into `out`. Advances *p and reduces *n by the bytes it has used. Returns the number
 * of bytes written, 0 if it needs more input, or -EBADMSG.
 */
ssize_t gunzip_read(struct gunzip *g, const char **p, size_t *n, void *out, size_t out_bytes);

/* Returns true if the input so far is one or more complete members. */
bool gunzip_complete(const struct gunzip *g);

#endif
