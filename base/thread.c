/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"

/* The address space for a stack and its guard page. */
static int map_stack(struct thread *t, size_t stack_bytes)
{
	size_t guard_bytes = (size_t)sysconf(_SC_PAGESIZE);

	t->map_bytes = guard_bytes + stack_bytes;
	t->map = mmap(NULL, t->map_bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (t->map == MAP_FAILED)
		return -errno;
	if (mprotect(t->map, guard_bytes, PROT_NONE) < 0) {
		int r = -errno;

		munmap(t->map, t->map_bytes);
		return r;
	}
	return 0;
}

int thread_start(struct thread *t, size_t stack_bytes, void *(*main)(void *), void *arg)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int r = map_stack(t, stack_bytes);

	if (r < 0)
		return r;
	pthread_attr_init(&attr);
	r = -pthread_attr_setstack(&attr, (char *)t->map + t->map_bytes - stack_bytes, stack_bytes);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (r == 0)
		r = -pthread_create(&t->id, &attr, main, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (r < 0)
		munmap(t->map, t->map_bytes);
	return r;
}

void thread_join(struct thread *t)
{
	/* Fatal: the caller's fault, because only a wrong id fails (pthread_join(3)). */
	if (pthread_join(t->id, NULL))
		fatal("a thread can't be joined");
	munmap(t->map, t->map_bytes);
}

/* For the calling thread: 1 if it has its own working directory; -errno if it can't have one. */
static _Thread_local int apart;

/* For the calling thread: true if its working directory is not "/". */
static _Thread_local bool away;

int thread_enter_dir(int dirfd)
{
	if (apart == 0)
		apart = unshare(CLONE_FS) < 0 ? -errno : 1;
	if (apart < 0)
		return apart;
	if (fchdir(dirfd) < 0)
		return -errno;
	away = true;
	return 0;
}

void thread_leave_dir(void)
{
	/* If the thread can't return, it stays, and later calls of thread_enter_dir fail. */
	if (away && chdir("/") < 0)
		apart = -errno;
	away = false;
}

void thread_obey_quotas(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

	/*
	 * This affects only the calling thread (capabilities(7)). The C library has no function for
	 * it.
	 */
	if (syscall(SYS_capget, &header, sets) < 0)
		return;
	sets[CAP_TO_INDEX(CAP_SYS_RESOURCE)].effective &= ~CAP_TO_MASK(CAP_SYS_RESOURCE);
	syscall(SYS_capset, &header, sets);
}
