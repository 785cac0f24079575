/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip (RFC 1952) of a stream whose end is not known: downloads and tar streams. What does not
 * compress is stored, so that random bytes pass at the speed of their checksum.
 */
#ifndef FS_HTTP_GZIP_OUT_H
#define FS_HTTP_GZIP_OUT_H

#include <stdbool.h>
#include <stddef.h>

struct evbuffer;
struct gzip_out;

struct gzip_out *gzip_out_new(void);
void gzip_out_free(struct gzip_out *g); /* NULL is fine */

/* Compresses n bytes; what comes out is added to `out`. `last`: and the end. */
void gzip_out_write(struct gzip_out *g, const void *data, size_t n, bool last,
		    struct evbuffer *out);

/* Whether a sample of a file is worth compressing: it becomes at least a sixteenth smaller. */
bool gzip_worthwhile(const void *p, size_t n);

/* What gzip_worthwhile looks at, at most. */
#define GZIP_SAMPLE_BYTES (16 * 1024)

#endif
