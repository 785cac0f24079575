/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker threads, for system calls that can block: paths of the guest (a page that is not in memory
 * after a resume, NFS, FUSE), and the clone of a child, which waits for the child's exec.
 *
 * A pool starts a thread when work is submitted and no thread is idle. A thread ends after
 * WORK_IDLE_MS without work. A pool has a maximum of threads; work beyond it waits in a queue. Work
 * that can hang for ever belongs in a pool of its own kind, so that it delays only work of that
 * kind.
 *
 * If the kernel refuses a thread (a fork bomb has used up all pids), the work stays queued and the
 * pool tries again every WORK_RETRY_MS. A pool whose work must run even then keeps one thread from
 * the start: workers_keep_thread.
 */
#ifndef BASE_WORK_H
#define BASE_WORK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/loop.h"

#define WORK_IDLE_MS	 3000
#define WORK_RETRY_MS	 100
#define WORK_STACK_BYTES (256 * 1024) /* address space; only touched pages use memory */

struct workers;

/* One piece of work, embedded in the object that it serves. The pool does not copy or free it. */
struct work {
	void (*run)(struct work *);  /* on a worker */
	void (*done)(struct work *); /* on the loop, after run has returned; may free the work */
	TAILQ_ENTRY(work) link;
	uint64_t queued_us;
};

/* A pool of at most max_threads threads. Called at the start: aborts without an eventfd. */
struct workers *workers_new(struct loop *loop, const char *name, unsigned max_threads);

/*
 * For pools whose work takes microseconds unless it blocks: switching threads would cost more than
 * the work. While a thread has worked on its current piece for less than patience_us, new work
 * waits for this thread instead of waking another one. 0 (the default): each piece of work wakes a
 * thread.
 */
void workers_set_patience(struct workers *w, unsigned patience_us);

/* All threads of the pool call thread_obey_quotas. Call it before the first work is submitted. */
void workers_obey_quotas(struct workers *w);

/*
 * Starts one thread now if there is none, and keeps one thread even if it is idle, until
 * workers_release_thread. 0; or -errno, and then the pool starts threads on demand.
 */
int workers_keep_thread(struct workers *w);

/* The threads of the pool may all end again when they are idle. */
void workers_release_thread(struct workers *w);

/* Waits for running work, drops queued work (`done` is not called), and frees the pool. */
void workers_free(struct workers *w);

/* Queues the work. From the loop only. Calls neither `run` nor `done` before it returns. */
void work_submit(struct workers *w, struct work *work);

/*
 * Removes work from the queue if no thread has begun it. True: the work was removed, and `done`
 * will not be called. False: the work runs or has run, and `done` will be called.
 */
bool work_cancel(struct workers *w, struct work *work);

/*
 * Returns true if the kernel refused the last thread that the pool needed. Queued work then waits
 * until a thread of the pool is idle, or a later try succeeds.
 */
bool workers_starve(struct workers *w);

/* Returns the number of pieces of work that are queued, running, or waiting for `done`. */
unsigned workers_busy(const struct workers *w);

#endif
