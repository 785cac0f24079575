/* SPDX-License-Identifier: Apache-2.0 */
/* The facts about the machine that `includes` and `excludes` of a seccomp profile's rule test. */
#ifndef PTY_SECCOMP_MACHINE_H
#define PTY_SECCOMP_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

struct seccomp_machine {
	const char *arch;      /* as Go names it: "amd64" */
	uint64_t capabilities; /* bit n: capability n is in the bounding set */
	unsigned kernel[2];    /* 6.1 is {6, 1} */
};

/* Reads the facts of this machine and this process. */
void seccomp_machine_inspect(struct seccomp_machine *ret);

/* Each function returns true if the machine has the value in `text`. */
bool seccomp_machine_has_arch(const struct seccomp_machine *machine, const char *text);

/* An unknown name belongs to a newer kernel; no process has this capability. */
bool seccomp_machine_has_capability(const struct seccomp_machine *machine, const char *text);

/*
 * Compares the kernel with a minimum, "4.8". Returns 1 if it is not older, 0 if it is, -1 if the
 * text is not two numbers.
 */
int seccomp_machine_has_kernel(const struct seccomp_machine *machine, const char *text);

#endif
