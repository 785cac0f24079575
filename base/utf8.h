/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UTF-8 as RFC 3629 defines it: no surrogates, no overlong forms, nothing above U+10FFFF.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Returns true if the n bytes are well-formed UTF-8. NUL is accepted as a character. */
bool utf8_valid(const char *p, size_t n);

/*
 * Returns the length in bytes (1 to 4) of the well-formed character at s; 0 if no well-formed
 * character begins there. Reads at most n > 0 bytes.
 */
size_t utf8_char(const char *s, size_t n);

/* The largest m <= n at which the string p of n bytes can be cut between two characters. */
size_t utf8_floor(const char *p, size_t n);

/*
 * Copies n bytes to out with U+FFFD for each byte that is not part of a well-formed character.
 * out has room for 3 * n bytes. Returns the length written; no NUL is added.
 */
size_t utf8_sanitize(char *out, const char *p, size_t n);

#endif
