/* SPDX-License-Identifier: Apache-2.0 */
/* Character classes of HTTP (RFC 9110 section 5.6, RFC 3986). */
#ifndef RPC_HTTP_HTTP_CHARS_H
#define RPC_HTTP_HTTP_CHARS_H

#include <stdbool.h>

/*
 * The lower case of each byte that a token may contain (RFC 9110 section 5.6.2); 0 for other bytes.
 */
extern const unsigned char http_token_lower[256];

static inline bool http_is_token(char c)
{
	return http_token_lower[(unsigned char)c] != 0;
}

/* Field values: visible ASCII, space, HTAB, and obs-text (RFC 9110 section 5.5). */
static inline bool http_is_value(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= ' ' ? u != 0x7f : u == '\t';
}

/* Optional white space (RFC 9110 section 5.6.3). */
static inline bool http_is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* Returns the value of a hexadecimal digit, or -1. */
static inline int http_hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif
