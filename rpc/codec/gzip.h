/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip (RFC 1952) of whole messages, and its decoding piece by piece for bodies.
 *
 * zlib's memory (up to 256 KiB to deflate, 40 KiB to inflate) exists only while it is needed, and
 * is the smaller the smaller the message is. Everything here may run on any thread.
 */
#ifndef RPC_CODEC_GZIP_H
#define RPC_CODEC_GZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Compresses n bytes, for speed rather than for size. Returns owned memory (free) in *ret: after
 * `headroom` bytes for the caller to fill come *ret_bytes compressed ones.
 */
void gzip_compress(const void *p, size_t n, size_t headroom, char **ret, size_t *ret_bytes);

/*
 * Decompresses a whole gzip text, which may have several members. Returns owned memory (free) in
 * *ret. -EMSGSIZE where it would come to more than max_bytes, -EBADMSG where it is corrupt, cut
 * short, or followed by something else.
 */
int gzip_decompress(const void *data, size_t n, size_t max_bytes, char **ret, size_t *ret_bytes);

/*
 * A gzip body as it comes:
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
 *			it was cut short;
 *	gunzip_free(g);
 */
struct gunzip;

struct gunzip *gunzip_new(void);
void gunzip_free(struct gunzip *g); /* NULL is fine */

/*
 * Decodes from *p, *n (moved on past what was used) into out. Returns the number of bytes
 * written, 0 where more input is needed first, or -EBADMSG.
 */
ssize_t gunzip_read(struct gunzip *g, const char **p, size_t *n, void *out, size_t out_bytes);

/* Whether what was read so far is whole: at least one member, and none begun but not ended. */
bool gunzip_complete(const struct gunzip *g);

#endif
