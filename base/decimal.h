/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decimal numbers, strictly: digits without white space and without overflow. Only
 * decimal_parse_signed accepts a sign.
 */
#ifndef BASE_DECIMAL_H
#define BASE_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Parses the digits at the beginning of the n bytes at p. Returns the number of digits. Returns 0
 * and leaves *ret unchanged if there is no digit, or if the number is greater than max.
 */
size_t decimal_digits(const char *p, size_t n, uint64_t max, uint64_t *ret);

/*
 * Parses n bytes that must all be digits. Returns false and leaves *ret unchanged otherwise, or if
 * the number is greater than max.
 */
bool decimal_parse(const char *p, size_t n, uint64_t max, uint64_t *ret);

/* As decimal_parse, for a string. */
bool decimal_parse_text(const char *text, uint64_t max, uint64_t *ret);

/* Parses a string of digits with an optional sign, as Go's strconv.ParseInt. */
bool decimal_parse_signed(const char *text, int64_t *ret);

#endif
