/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clone.h"

#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

#define FLAGS (CLONE_VM | CLONE_VFORK | CLONE_PIDFD)

static atomic_bool no_clone3;

#if defined(__x86_64__)
/*
 * Makes the system call. The child has another, empty stack, so it calls `run` in this instruction
 * sequence and never returns from it.
 */
static long raw_clone3(struct clone_args *args, void (*run)(void *), void *run_arg)
{
	long r;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "mov %[arg], %%rdi\n\t"
			 "call *%[run]\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(r)
			 : "0"((long)SYS_clone3), "D"(args),
			   "S"(sizeof(*args)), [run] "r"(run), [arg] "r"(run_arg)
			 : "rcx", "r11", "memory", "cc");
	return r;
}
#define HAVE_RAW_CLONE3 1
#elif defined(__aarch64__)
static long raw_clone3(struct clone_args *args, void (*run)(void *), void *run_arg)
{
	register long x0 __asm__("x0") = (long)args;
	register long x1 __asm__("x1") = sizeof(*args);
	register long x8 __asm__("x8") = SYS_clone3;

	__asm__ volatile("svc #0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, xzr\n\t"
			 "mov x30, xzr\n\t"
			 "mov x0, %[arg]\n\t"
			 "blr %[run]\n\t"
			 "brk #1\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x1), "r"(x8), [run] "r"(run), [arg] "r"(run_arg)
			 : "memory", "cc");
	return x0;
}
#define HAVE_RAW_CLONE3 1
#else
#define HAVE_RAW_CLONE3 0
#endif

#if HAVE_RAW_CLONE3
static pid_t by_clone3(const struct clone_child *child)
{
	struct clone_args args = {
		.flags = FLAGS | CLONE_CLEAR_SIGHAND,
		.pidfd = (uint64_t)(uintptr_t)child->pidfd,
		.exit_signal = SIGCHLD,
		.stack = (uint64_t)(uintptr_t)child->stack,
		.stack_size = child->stack_bytes,
	};

	if (child->cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)child->cgroup_fd;
	}
	return (pid_t)raw_clone3(&args, child->run, child->arg);
}
#else
static pid_t by_clone3(const struct clone_child *child)
{
	return -ENOSYS;
}
#endif

/* The child's function for clone(3) of the C library. */
static int clone_main(void *arg)
{
	const struct clone_child *child = arg;
	struct sigaction action;
	int sig;

	for (sig = 1; sig < _NSIG; sig++) {
		if (sigaction(sig, NULL, &action) < 0 || action.sa_handler == SIG_DFL ||
		    action.sa_handler == SIG_IGN)
			continue;
		action.sa_handler = SIG_DFL;
		action.sa_flags = 0;
		sigaction(sig, &action, NULL);
	}
	child->run(child->arg);
	_exit(127);
}

static pid_t by_clone(const struct clone_child *child)
{
	struct clone_child copy = *child;
	pid_t pid = clone(clone_main, (char *)child->stack + child->stack_bytes, FLAGS | SIGCHLD,
			  &copy, child->pidfd);

	return pid < 0 ? -errno : pid;
}

pid_t clone_vfork(const struct clone_child *child)
{
	pid_t pid;

	if (clone_has_clone3()) {
		pid = by_clone3(child);
		if (pid != -ENOSYS && pid != -EPERM)
			return pid;
		/* EPERM has other causes too, but then clone fails for them as well. */
		if (pid == -ENOSYS)
			atomic_store(&no_clone3, true);
	}
	if (child->cgroup_fd >= 0)
		return -ENOSYS;
	return by_clone(child);
}

bool clone_has_clone3(void)
{
	return HAVE_RAW_CLONE3 && !atomic_load(&no_clone3);
}
