/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread on a stack of its own, which is gone with it.
 *
 * glibc keeps the stacks of ended threads for later ones, up to 40 MiB, and of each the pages at
 * its end: after a burst on 64 workers that is more than all else that an idle daemon holds.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>

struct thread {
	pthread_t id;
	void *map; /* a page that can't be touched, and the stack above it */
	size_t map_bytes;
};

/*
 * Starts main(arg) on a stack of so many bytes (whole pages, at least PTHREAD_STACK_MIN, which is
 * 128 KiB on arm64), with all signals blocked: those are the loop's. 0 or -errno. thread_join must
 * follow.
 */
int thread_start(struct thread *t, size_t stack_bytes, void *(*main)(void *), void *arg);

/* Waits for its end, and frees its stack. */
void thread_join(struct thread *t);

/*
 * Makes the directory the working directory of the calling thread, and of no other; not for the
 * process' first thread. 0 or -errno, -EPERM where a container forbids it. thread_leave_dir must
 * follow: until then the thread keeps its file system from being unmounted.
 */
int thread_enter_dir(int dirfd);

/*
 * Goes back to "/". Does nothing where thread_enter_dir was not called, or failed. A thread that
 * can't go back stays, and stands in nothing else from then on.
 */
void thread_leave_dir(void);

/*
 * The calling thread's CAP_SYS_RESOURCE has no effect from now on. With it nothing that the thread
 * writes counts as too much for the quota of the file's owner (ignore_hardlimit in
 * fs/quota/dquot.c).
 */
void thread_obey_quotas(void);

#endif
