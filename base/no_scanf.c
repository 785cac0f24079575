/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libevent parses addresses with sscanf in functions that this daemon never calls, and the C
 * library's reads every form of number there is. Defined here under the names that its headers
 * give it (glibc's stdio.h for C99 and for C23), it keeps that out of the static binary: 70 KB.
 *
 * Nothing of ours may call it, then: whoever does is told at once.
 */
#include "base/mem.h"

_Noreturn int no_scanf_c99(const char *text, const char *format, ...) __asm__("__isoc99_sscanf");
_Noreturn int no_scanf_c23(const char *text, const char *format, ...) __asm__("__isoc23_sscanf");

int no_scanf_c99(const char *text, const char *format, ...)
{
	fatal("sscanf is not linked in: '%s'", format);
}

int no_scanf_c23(const char *text, const char *format, ...)
{
	fatal("sscanf is not linked in: '%s'", format);
}
