/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seccomp profiles of a daemon: the default one (-seccomp), and the ones in a directory
 * (-seccomp-dir), which a Start chooses by X-Envd-Seccomp. Each is compiled once.
 *
 *	seccomp_profiles_new ─► … choose (loop) ─► program (worker) … ─► seccomp_profiles_free
 */
#ifndef PTY_SECCOMP_PROFILES_H
#define PTY_SECCOMP_PROFILES_H

#include <linux/filter.h>
#include <stdbool.h>

#include "base/error.h"

struct seccomp_profiles;

struct seccomp_options {
	const char *profile; /* "none", "default", or the path of a file */
	const char *dir;     /* of NAME.json; NULL: none */
	bool optional;	     /* a Start may choose "none" even if `profile` is not "none" */
};

/*
 * Reads and compiles the default profile. Borrows the strings. Blocks: call it before the daemon
 * serves.
 */
struct seccomp_profiles *seccomp_profiles_new(const struct seccomp_options *options);

/*
 * Returns the error of the default profile, one line that names the file; NULL: none. If there is
 * an error, each Start fails with this text, so that no process runs without its filter.
 */
const char *seccomp_profiles_fault(const struct seccomp_profiles *profiles);

/* Frees the profiles. Accepts NULL. */
void seccomp_profiles_free(struct seccomp_profiles *profiles);

/*
 * Chooses the profile for a Start. `asked` is the header's value (NULL: no header). Sets *ret to
 * the name of a profile, borrowed from `asked`; "" for the default; NULL for none. 0, or -1 with
 * ERROR_INVALID_ARGUMENT, or ERROR_PERMISSION_DENIED if "none" is not allowed.
 */
int seccomp_profiles_choose(const struct seccomp_profiles *profiles, const char *asked,
			    const char **ret, struct error *err);

/*
 * Returns the program for a name from seccomp_profiles_choose, valid as long as `profiles`. NULL
 * with ERROR_NOT_FOUND, or ERROR_FAILED_PRECONDITION for a file that is not a profile. Call it on a
 * worker.
 */
const struct sock_fprog *seccomp_profiles_program(struct seccomp_profiles *profiles,
						  const char *name, struct error *err);

#endif
