/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libevent parses addresses with sscanf(3) in functions that the daemon never calls. The C
 * library's sscanf supports all number formats. Defining the function here, under the names that
 * glibc's stdio.h uses for C99 and C23, keeps 72 KiB out of the static binary.
 *
 * The project's own code must not call it: a call aborts with a message.
 */
#include "base/mem.h"

_Noreturn int no_scanf_c99(const char *text, const char *format, ...) __asm__("__isoc99_sscanf");
_Noreturn int no_scanf_c23(const char *text, const char *format, ...) __asm__("__isoc23_sscanf");

int no_scanf_c99(const char *text, const char *format, ...)
{
	/* Fatal: no code of the daemon calls it, and the first test of a new caller fails. */
	fatal("sscanf is not linked in: '%s'", format);
}

int no_scanf_c23(const char *text, const char *format, ...)
{
	/* Fatal: no code of the daemon calls it, and the first test of a new caller fails. */
	fatal("sscanf is not linked in: '%s'", format);
}
