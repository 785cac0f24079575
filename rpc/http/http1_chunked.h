/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The framing of a chunked body (RFC 9112 section 7.1); what it refuses stands in
 * rpc/http/http1_parse.h. Framing and data alternate, and only the framing is looked at here:
 *
 *	taken = http1_chunked_framing(c, p, n, &why);     drop these bytes
 *	if (http1_chunked_done(c))                        what follows is the next request
 *	m = min(http1_chunked_left(c), what there is);    pass these on as they are
 *	http1_chunked_data(c, m);                         and from the beginning
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

/* One that is all zero bytes is ready for the first chunk. */
struct http1_chunked {
	unsigned char state; /* enum chunked_state */
	unsigned char n_digits;
	unsigned extensions_bytes; /* above what bytes of data have made good */
	unsigned trailers_bytes;
	uint64_t size; /* of the chunk, as far as it was read, less the data that was passed on */
};

/*
 * Takes the framing at the front of p: up to the next byte of data, the end of the body, or n.
 * Returns how many bytes that is (0 where data is next, and when done); or -status, with *why a
 * static text.
 */
ssize_t http1_chunked_framing(struct http1_chunked *c, const char *p, size_t n, const char **why);

/* How many bytes of data come next; 0 while there is framing to take. */
uint64_t http1_chunked_left(const struct http1_chunked *c);

/* Says that n of them were passed on. */
void http1_chunked_data(struct http1_chunked *c, uint64_t n);

/* Whether the body is over, with its trailers. */
bool http1_chunked_done(const struct http1_chunked *c);

#endif
