/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses and formats points in time as in RFC 3339: "2024-02-29T12:00:00.5Z".
 */
#ifndef RPC_CODEC_RFC3339_H
#define RPC_CODEC_RFC3339_H

#include <stddef.h>
#include <stdint.h>

/* From 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z, in seconds since 1970. */
#define RFC3339_MIN_SECONDS (-62135596800)
#define RFC3339_MAX_SECONDS 253402300799

/* Space for any text that rfc3339_format writes. */
#define RFC3339_BYTES 32

/*
 * Parses exactly the n bytes at p: `T` and `Z` in capitals, any offset, at most nine digits after
 * the seconds, no leap second. Nanoseconds count forward from the seconds. 0 or -EINVAL.
 */
int rfc3339_parse(const char *p, size_t n, int64_t *ret_seconds, int32_t *ret_nanos);

/* Writes UTC with 0, 3, 6 or 9 digits after the seconds. 0 or -ERANGE. */
int rfc3339_format(int64_t seconds, int32_t nanos, char out[RFC3339_BYTES]);

#endif
