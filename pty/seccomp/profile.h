/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A seccomp profile: the system calls that a process may make (seccomp(2)).
 *
 * The file format is the JSON of Docker, podman and containerd, so an operator can use an existing
 * file: defaultAction, defaultErrnoRet, archMap or architectures, and syscalls with names, action,
 * errnoRet, args, includes and excludes (docs/processes.md). Members that do not affect a filter
 * are skipped.
 */
#ifndef PTY_SECCOMP_PROFILE_H
#define PTY_SECCOMP_PROFILE_H

#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "pty/seccomp/machine.h"

/* The maximum size of a profile; Docker's own has 20 KB. */
#define SECCOMP_PROFILE_MAX_BYTES (1024 * 1024)

/*
 * The maximum number of system calls in the rules that apply to this machine, counted once for each
 * rule. The kernel accepts programs of 4096 steps (BPF_MAXINSNS), and each rule adds at least one
 * step unless it repeats another. libseccomp's time grows with the square: 70,000 repetitions of
 * one call took more than ten seconds.
 */
#define SECCOMP_PROFILE_MAX_CALLS 4096

/* System calls have at most this many arguments. */
#define SECCOMP_ARGS 6

/* The native architecture, and the two that x86-64 can run beside it. */
#define SECCOMP_ARCHES 3

struct seccomp_rule {
	const char **names; /* of system calls; names unknown to libseccomp are skipped */
	size_t n_names;
	uint32_t action;			/* SCMP_ACT_… */
	struct scmp_arg_cmp args[SECCOMP_ARGS]; /* all of them must hold */
	unsigned n_args;
	struct seccomp_rule *next;
};

struct seccomp_profile {
	uint32_t default_action;	 /* for calls without a rule */
	uint32_t arches[SECCOMP_ARCHES]; /* beside the native one: SCMP_ARCH_… */
	unsigned n_arches;
	struct seccomp_rule *rules; /* in the order of the file */
};

/*
 * Parses the n bytes of a profile. Strings and rules lie in the arena. 0, or -1 with
 * ERROR_INVALID_ARGUMENT. Any thread.
 */
int seccomp_profile_parse(const char *text, size_t n, const struct seccomp_machine *machine,
			  struct arena *arena, struct seccomp_profile *ret, struct error *err);

/* Returns the built-in profile "default": see builtin.c. */
void seccomp_profile_builtin(struct arena *arena, struct seccomp_profile *ret);

#endif
