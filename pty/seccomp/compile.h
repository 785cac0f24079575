/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a profile to the program that the kernel takes (struct sock_fprog, seccomp(2)), by libseccomp.
 */
#ifndef PTY_SECCOMP_COMPILE_H
#define PTY_SECCOMP_COMPILE_H

#include <linux/filter.h>

#include "base/error.h"
#include "pty/seccomp/profile.h"

/*
 * Calls of an architecture that the profile does not name fail with ENOSYS: on x86-64 those are the
 * 32-bit and the x32 ones, on arm64 the 32-bit ones. *ret gets the program, which the caller owns
 * (seccomp_program_clear). 0, or -1 with ERROR_INVALID_ARGUMENT for a profile that no filter can
 * express, ERROR_RESOURCE_EXHAUSTED or ERROR_INTERNAL. Any thread; takes about a millisecond.
 */
int seccomp_compile(const struct seccomp_profile *profile, struct sock_fprog *ret,
		    struct error *err);

void seccomp_program_clear(struct sock_fprog *program);

#endif
