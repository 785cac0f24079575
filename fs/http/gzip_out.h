/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compresses a stream of unknown length with gzip (RFC 1952): for downloads and tar streams.
 * Incompressible data is stored, so it costs little more than its checksum.
 */
#ifndef FS_HTTP_GZIP_OUT_H
#define FS_HTTP_GZIP_OUT_H

#include <stdbool.h>
#include <stddef.h>

struct evbuffer;
struct gzip_out;

struct gzip_out *gzip_out_new(void);
void gzip_out_free(struct gzip_out *g); /* NULL is fine */

/* Compresses n bytes and adds the result to `out`. `last`: ends the gzip stream. */
void gzip_out_write(struct gzip_out *g, const void *data, size_t n, bool last,
		    struct evbuffer *out);

/* Returns true if compression makes the sample of a file smaller by at least a sixteenth. */
bool gzip_worthwhile(const void *p, size_t n);

/* The maximum number of bytes that gzip_worthwhile examines. */
#define GZIP_SAMPLE_BYTES (16 * 1024)

#endif
