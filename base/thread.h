/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread whose stack is unmapped when the thread has ended.
 *
 * glibc keeps the stacks of ended threads for new threads, up to 40 MiB, with some resident pages
 * each. After a burst on 64 workers these pages use more memory than the rest of an idle daemon.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>

struct thread {
	pthread_t id;
	void *map; /* a guard page, and the stack above it */
	size_t map_bytes;
};

/*
 * Starts main(arg) on a stack of stack_bytes (whole pages, at least PTHREAD_STACK_MIN, which is
 * 128 KiB on arm64). All signals are blocked in the thread, because the loop handles them. 0 or
 * -errno. The caller must call thread_join.
 */
int thread_start(struct thread *t, size_t stack_bytes, void *(*main)(void *), void *arg);

/* Waits until the thread has ended, and unmaps its stack. */
void thread_join(struct thread *t);

/*
 * Changes the working directory of the calling thread alone; not for the process' first thread. 0
 * or -errno; -EPERM if a container forbids it. The caller must call thread_leave_dir: until then
 * the directory's file system can't be unmounted.
 */
int thread_enter_dir(int dirfd);

/*
 * Changes the calling thread's working directory back to "/". Does nothing if thread_enter_dir was
 * not called or failed. If the change fails, the thread stays in its directory, and later calls of
 * thread_enter_dir fail.
 */
void thread_leave_dir(void);

/*
 * Drops CAP_SYS_RESOURCE from the calling thread's effective set. With this capability the thread's
 * writes may exceed the quota of the file's owner (ignore_hardlimit in fs/quota/dquot.c).
 */
void thread_obey_quotas(void);

#endif
