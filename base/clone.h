/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts a child that shares the caller's memory until it execs, and has its own stack: clone(2)
 * with CLONE_VM and CLONE_VFORK. The calling thread is suspended until then.
 *
 * CLONE_VM needs CLONE_VFORK: without it, when the child writes its oom_score_adj, the kernel
 * applies the value to all processes that share the memory, including the daemon (fs/proc/base.c,
 * __set_oom_adj).
 */
#ifndef BASE_CLONE_H
#define BASE_CLONE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct clone_child {
	void (*run)(void *arg); /* must not return: calls execve(2) or _exit(2) */
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
 * Returns true if clone3(2) is available. Older seccomp profiles refuse it with ENOSYS or EPERM;
 * then clone(2) is used, which can't start a child in a cgroup.
 */
bool clone_has_clone3(void);

#endif
