/*
 * Worker threads for calls that can block: a path of a user's (a cold page after a snapshot
 * resume, NFS, FUSE), and the clone of a child, which waits for its exec.
 *
 * Threads start when there is work and none is idle, and end after WORK_IDLE_MS without any: an
 * idle daemon has one thread. A pool is bounded; work above the bound waits in a queue, so calls
 * that may hang for good belong in a pool of their own kind, where they can starve only those.
 */
#ifndef BASE_WORK_H
#define BASE_WORK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/loop.h"

#define WORK_IDLE_MS	 3000
#define WORK_STACK_BYTES (256 * 1024) /* address space; only what is touched is memory */

struct workers;

/* One piece of work, embedded in what it works for. Not copied, not freed here. */
struct work {
	void (*run)(struct work *);  /* on a worker */
	void (*done)(struct work *); /* on the loop, once run has returned; may free the work */
	TAILQ_ENTRY(work) link;
	uint64_t queued_us;
};

/* A pool of at most max_threads. Aborts where an eventfd can't be had. */
struct workers *workers_new(struct loop *loop, const char *name, unsigned max_threads);

/*
 * For work that is short unless it blocks: a thread that is awake is given so long to come to the
 * next piece before another thread is woken for it. Otherwise (0) each piece wakes one, and sixteen
 * small reads at once spend their time in switching threads.
 */
void workers_set_patience(struct workers *w, unsigned patience_us);

/* Its threads, of which none was started yet, obey quotas: see thread_obey_quotas. */
void workers_obey_quotas(struct workers *w);

/* Waits for the running work, drops what is queued (no done is called), and frees the pool. */
void workers_free(struct workers *w);

/* Queues the work. From the loop only; never calls back from inside. */
void work_submit(struct workers *w, struct work *work);

/*
 * Takes work back that no thread has begun: true where it was taken (done will not come), false
 * where it runs or has run (done will come).
 */
bool work_cancel(struct workers *w, struct work *work);

/* Pieces of work queued, running, or finished with their done still to come. */
unsigned workers_busy(const struct workers *w);

#endif
