/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses the framing of a chunked body (RFC 9112 section 7.1). rpc/http/http1_parse.h lists what it
 * refuses. Framing and data alternate; the parser sees only the framing:
 *
 *	taken = http1_chunked_framing(c, p, n, &why);             drop these bytes
 *	if (http1_chunked_done(c))                                the next request follows
 *	m = min(http1_chunked_left(c), the bytes that arrived);   pass these on as data
 *	http1_chunked_data(c, m);                                 repeat from the beginning
 *
 * Trailers are checked and dropped.
 */
#ifndef RPC_HTTP_HTTP1_CHUNKED_H
#define RPC_HTTP_HTTP1_CHUNKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HTTP1_EXTENSIONS_MAX_BYTES 4096
#define HTTP1_TRAILERS_MAX_BYTES   16384

/* A struct of zero bytes is ready for the first chunk. */
struct http1_chunked {
	unsigned char state; /* enum chunked_state */
	unsigned char n_digits;
	unsigned extensions_bytes; /* bytes of extensions, less a credit for bytes of data */
	unsigned trailers_bytes;
	uint64_t size; /* remaining bytes of the chunk, from the digits read so far */
};

/*
 * Parses the framing at the beginning of p, up to the next byte of data, the end of the body, or n.
 * Returns the number of bytes parsed (0 if data comes next, or if the body is complete), or -status
 * with a static text in *why.
 */
ssize_t http1_chunked_framing(struct http1_chunked *c, const char *p, size_t n, const char **why);

/* Returns the number of data bytes that come next; 0 if framing comes next. */
uint64_t http1_chunked_left(const struct http1_chunked *c);

/* Records that n bytes of data were passed on. */
void http1_chunked_data(struct http1_chunked *c, uint64_t n);

/* Returns true if the body and its trailers are complete. */
bool http1_chunked_done(const struct http1_chunked *c);

#endif
