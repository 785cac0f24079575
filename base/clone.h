/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A child that shares the caller's memory until it execs, on a stack of its own: clone(2) with
 * CLONE_VM and CLONE_VFORK, which suspends the calling thread meanwhile.
 *
 * CLONE_VFORK is what makes CLONE_VM right: without it the child's writes to /proc/self (its
 * oom_score_adj) reach every process that shares the memory, the daemon first (fs/proc/base.c,
 * __set_oom_adj).
 */
#ifndef BASE_CLONE_H
#define BASE_CLONE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct clone_child {
	void (*run)(void *arg); /* never returns: it execs or exits by _exit(2) */
	void *arg;
	void *stack; /* lowest byte, 16-aligned */
	size_t stack_bytes;
	int cgroup_fd; /* CLONE_INTO_CGROUP; -1: the parent's cgroup */
	int *pidfd;    /* written by the kernel before the child runs */
};

/*
 * Starts the child and returns when it has exec'ed or ended: its pid, or -errno. Signal handlers
 * of the caller are reset in the child (ignored signals stay ignored).
 */
pid_t clone_vfork(const struct clone_child *child);

/*
 * Whether clone3(2) is to be had. Seccomp profiles that do not know it answer ENOSYS or EPERM;
 * clone(2) takes its place then, but can't place a child in a cgroup.
 */
bool clone_has_clone3(void);

#endif
