/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dates in HTTP (RFC 9110 section 5.6.7): seconds since 1970, in UTC independent of the time zone.
 */
#ifndef RPC_HTTP_HTTP_DATE_H
#define RPC_HTTP_HTTP_DATE_H

#include <stdbool.h>
#include <stdint.h>

#define HTTP_DATE_BYTES 30 /* "Sun, 06 Nov 1994 08:49:37 GMT" and a NUL */

/* Writes the date. Returns false, and an empty string, if its year is not 0 to 9999. */
bool http_date_format(char out[HTTP_DATE_BYTES], int64_t seconds);

/*
 * Parses a date in one of the three forms of the RFC, without surrounding text:
 *
 *	Sun, 06 Nov 1994 08:49:37 GMT
 *	Sunday, 06-Nov-94 08:49:37 GMT		years from 69 on are 19xx
 *	Sun Nov  6 08:49:37 1994
 *
 * The name of the day may be wrong. Returns false if the text has none of these forms.
 */
bool http_date_parse(const char *text, int64_t *ret_seconds);

#endif
