/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses request heads of HTTP/1.1. The parser has no descriptor, no clock and no buffer: the
 * connection passes the bytes that have arrived.
 *
 * Every ambiguous request is refused, and the connection closes after the response. A request that
 * two programs interpret differently allows request smuggling (RFC 9112 section 11.2). The rules
 * for heads, and for chunked bodies (rpc/http/http1_chunked.h):
 *
 *	refused                                         status  source
 *	a head above HTTP_HEAD_MAX_BYTES, or with more
 *	than HTTP_MAX_FIELDS fields                     431     RFC 6585 section 5
 *	a second empty line before the request line
 *	(one is skipped)                                400     RFC 9112 section 2.2
 *	a line that ends in a bare LF                   400     RFC 9112 section 2.2
 *	a CR that no LF follows                         400     RFC 9112 section 2.2
 *	white space before the first field              400     RFC 9112 section 2.2
 *	a folded line (obs-fold)                        400     RFC 9112 section 5.2
 *	a method that is not a token                    400     RFC 9110 section 9.1
 *	anything but one space between the three parts
 *	of the request line                             400     RFC 9112 section 3
 *	a control character in the target               400     RFC 9112 section 3.2
 *	a '%' without two hex digits in its path        400     RFC 3986 section 2.1
 *	a target that is neither a path nor
 *	http[s]://host[:port][path]                     400     RFC 9112 section 3.2
 *	user information in such a target               400     RFC 9110 section 4.2.4
 *	"*" with a method other than OPTIONS            400     RFC 9112 section 3.2.4
 *	CONNECT                                         501     RFC 9110 section 9.3.6
 *	a version not of the form HTTP/d.d              400     RFC 9112 section 2.3
 *	a major version other than 1 (1.2 to 1.9 are
 *	handled as 1.1, RFC 9110 section 2.5)           505     RFC 9110 section 15.6.6
 *	a field name that is empty or not a token, white
 *	space before the colon, no colon                400     RFC 9112 section 5.1
 *	a control character but HTAB in a value         400     RFC 9110 section 5.5
 *	no Host in HTTP/1.1, more than one, or one with
 *	characters that no host has                     400     RFC 9112 section 3.2
 *	a Content-Length that is not digits alone (a
 *	sign, a list, nothing) or above INT64_MAX       400     RFC 9112 section 6.3
 *	Content-Length more than once, even the same    400     RFC 9112 section 6.3
 *	Content-Length beside Transfer-Encoding         400     RFC 9112 section 6.1
 *	Transfer-Encoding in HTTP/1.0                   400     RFC 9112 section 6.1
 *	Transfer-Encoding other than one "chunked"      501     RFC 9112 section 6.1
 *	an expectation other than 100-continue          417     RFC 9110 section 10.1.1
 *
 *	a chunk size that is not 1 to 16 hex digits,
 *	or above INT64_MAX                              400     RFC 9112 section 7.1
 *	white space after a chunk size                  400     RFC 9112 section 7.1.1
 *	a control character but HTAB in an extension    400     RFC 9112 section 7.1.1
 *	more than HTTP1_EXTENSIONS_MAX_BYTES of
 *	extensions above the bytes of data              400     RFC 9112 section 7.1.1
 *	chunk data that CRLF does not follow            400     RFC 9112 section 7.1
 *	a trailer that would be refused as a field      400     RFC 9112 section 7.1.2
 *	trailers above HTTP1_TRAILERS_MAX_BYTES         431     RFC 6585 section 5
 *
 * Accepted, because clients send them and they are not ambiguous: bytes from 0x80 on in values
 * (obs-text, RFC 9110 section 5.5) and in the target; and in the target the printable characters
 * that RFC 3986 requires to be escaped ('"', '{', '|', …).
 */
#ifndef RPC_HTTP_HTTP1_PARSE_H
#define RPC_HTTP_HTTP1_PARSE_H

#include <stdbool.h>
#include <stddef.h>

#include "rpc/http/http_head.h"

struct arena;

/* The progress of the search for the end of a head. All zero at the beginning. */
struct http1_scan {
	size_t scanned_bytes;
	size_t line;	  /* offset of the current line */
	unsigned n_lines; /* complete lines, without empty ones */
	bool skipped;	  /* the empty line before the request line was skipped */
};

/*
 * Searches for the end of the head that begins at p. When more bytes have arrived, call it again
 * with the same scan and all bytes from the beginning of the head (they may have moved); no byte is
 * examined twice. Returns the length of the head, which may be less than n; 0 if more bytes are
 * needed; or -status with a static text in *why.
 */
int http1_scan_head(struct http1_scan *scan, const char *p, size_t n, const char **why);

/*
 * Parses the head of head_bytes that http1_scan_head found at p, and copies it to the arena.
 * Returns 0, or -status with *why a static text; *ret is then undefined.
 */
int http1_parse_head(const struct http1_scan *scan, const char *p, size_t head_bytes,
		     struct arena *arena, struct http_head *ret, const char **why);

#endif
