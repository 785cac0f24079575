/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles a profile to a program for the kernel (struct sock_fprog, seccomp(2)), by libseccomp. */
#ifndef PTY_SECCOMP_COMPILE_H
#define PTY_SECCOMP_COMPILE_H

#include <linux/filter.h>

#include "base/error.h"
#include "pty/seccomp/profile.h"

/*
 * Compiles the profile. System calls of an architecture that the profile does not name fail with
 * ENOSYS: on x86-64 the 32-bit and x32 calls, on arm64 the 32-bit calls. *ret receives the program,
 * which the caller owns (seccomp_program_clear).
 *
 * 0, or -1 with ERROR_INVALID_ARGUMENT for a profile that no filter can express, that is too large,
 * or that does not allow the calls by which a child starts its program;
 * ERROR_RESOURCE_EXHAUSTED or ERROR_INTERNAL. Any thread; takes about a millisecond.
 */
int seccomp_compile(const struct seccomp_profile *profile, struct sock_fprog *ret,
		    struct error *err);

void seccomp_program_clear(struct sock_fprog *program);

#endif
