/* SPDX-License-Identifier: Apache-2.0 */
#include "base/work.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"

TAILQ_HEAD(work_list, work);

struct worker {
	struct workers *pool;
	struct thread thread;
	uint64_t since_us;	  /* when it began its current work */
	TAILQ_ENTRY(worker) link; /* in `running` or `over`, if in any */
};

TAILQ_HEAD(worker_list, worker);

struct workers {
	const char *name;
	struct loop *loop;
	unsigned max_threads;
	unsigned patience_us;
	bool obeys_quotas;
	unsigned keep;	      /* threads that stay although they are idle */
	pthread_mutex_t lock; /* protects all members down to `stopping` */
	/*
	 * Idle threads wait for it. Not a condition variable: pthread_cond_signal may block until a
	 * thread that was signalled before has run (glibc's __condvar_quiesce_and_switch_g1), and
	 * the loop would block with it.
	 */
	sem_t wake;
	pthread_cond_t ended; /* a thread has ended */
	struct work_list queue;
	struct work_list finished;
	struct worker_list running; /* at work */
	struct worker_list over;    /* ended, and to be joined */
	unsigned threads;
	unsigned idle;	/* threads that wait for work */
	unsigned woken; /* idle threads that were signalled and have not looked at the queue yet */
	unsigned starting; /* new threads that have not looked at the queue yet */
	bool refused;	   /* the kernel refused the last new thread */
	bool stopping;
	unsigned busy; /* loop only */
	int eventfd;
	struct fd_event event;
	struct timer overdue; /* starts a thread for work that has waited too long */
	struct timer retry;   /* tries again to start a thread that the kernel refused */
};

/*
 * Sleeps until the pool is signalled; returns true if `until` passed first. The lock is not held.
 */
static bool sleep_expires(struct workers *w, bool keep, const struct timespec *until)
{
	if (keep)
		return sem_wait(&w->wake) < 0 && errno == ETIMEDOUT;
	return sem_clockwait(&w->wake, CLOCK_MONOTONIC, until) < 0 && errno == ETIMEDOUT;
}

/*
 * Waits for work; NULL when the thread is to end. Caller holds the lock. (If the wait of a thread
 * expires at the moment it is signalled, it finds the work in the queue, and the semaphore wakes
 * another thread, which finds none.)
 */
static struct work *next_work(struct workers *w)
{
	struct timespec until;
	struct work *work;
	bool expired = false, keep;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += WORK_IDLE_MS / 1000;
	for (;;) {
		work = TAILQ_FIRST(&w->queue);
		if (work) {
			TAILQ_REMOVE(&w->queue, work, link);
			return work;
		}
		keep = w->threads <= w->keep;
		if (w->stopping || (expired && !keep))
			return NULL;
		w->idle++;
		pthread_mutex_unlock(&w->lock);
		expired = sleep_expires(w, keep, &until);
		pthread_mutex_lock(&w->lock);
		w->idle--;
		if (w->woken && (!expired || w->woken > w->idle))
			w->woken--;
	}
}

/* Makes the loop call workers_collect. */
static void call_loop(struct workers *w)
{
	uint64_t one = 1;

	/* Fatal: fails only above 2^64 - 2 events that the loop has not read (eventfd(2)). */
	if (write(w->eventfd, &one, sizeof(one)) < 0)
		fatal("eventfd: write failed");
}

/*
 * A woken thread takes the lock first. Therefore threads and the loop are woken only after the lock
 * was released.
 */
static void *worker_main(void *arg)
{
	struct worker *self = arg;
	struct workers *w = self->pool;
	struct work *work;
	bool first;

	if (w->obeys_quotas)
		thread_obey_quotas();
	pthread_mutex_lock(&w->lock);
	w->starting--;
	while ((work = next_work(w))) {
		self->since_us = w->patience_us ? clock_monotonic_us() : 0;
		TAILQ_INSERT_HEAD(&w->running, self, link);
		pthread_mutex_unlock(&w->lock);
		work->run(work);
		pthread_mutex_lock(&w->lock);
		first = TAILQ_EMPTY(&w->finished);
		TAILQ_INSERT_TAIL(&w->finished, work, link);
		pthread_mutex_unlock(&w->lock);
		if (first)
			call_loop(w);
		pthread_mutex_lock(&w->lock);
		TAILQ_REMOVE(&w->running, self, link);
	}
	w->threads--;
	TAILQ_INSERT_TAIL(&w->over, self, link);
	pthread_cond_signal(&w->ended);
	pthread_mutex_unlock(&w->lock);
	call_loop(w);
	return NULL;
}

/* Joins the threads that have ended. */
static void free_workers(struct worker_list *over)
{
	struct worker *worker;

	while ((worker = TAILQ_FIRST(over))) {
		TAILQ_REMOVE(over, worker, link);
		thread_join(&worker->thread);
		free(worker);
	}
}

static void count_busy(struct workers *w, int n)
{
	w->busy += (unsigned)n;
	w->loop->works += (unsigned)n;
}

/* On the loop: calls `done` of finished work, and joins the threads that have ended. */
static void workers_collect(evutil_socket_t fd, short what, void *arg)
{
	struct workers *w = arg;
	struct work_list done = TAILQ_HEAD_INITIALIZER(done);
	struct worker_list over = TAILQ_HEAD_INITIALIZER(over);
	struct work *work;
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return;
	pthread_mutex_lock(&w->lock);
	TAILQ_CONCAT(&done, &w->finished, link);
	TAILQ_CONCAT(&over, &w->over, link);
	pthread_mutex_unlock(&w->lock);
	free_workers(&over);
	while ((work = TAILQ_FIRST(&done))) {
		TAILQ_REMOVE(&done, work, link);
		count_busy(w, -1);
		work->done(work);
	}
}

/* Starts one more thread: 0 or -errno. Caller holds the lock. */
static int start_thread(struct workers *w)
{
	struct worker *worker = mem_zalloc(sizeof(*worker));
	int r;

	worker->pool = w;
	r = thread_start(&worker->thread, WORK_STACK_BYTES, worker_main, worker);
	if (r < 0)
		free(worker);
	else
		w->threads++, w->starting++;
	return r;
}

/*
 * Makes one more thread take work. Caller holds the lock. Returns true if the caller must post the
 * semaphore after it has released the lock: a thread woken earlier would only block on the lock.
 */
static bool wake_thread(struct workers *w)
{
	int r;

	if (w->idle > w->woken) {
		w->woken++;
		return true;
	}
	if (w->threads >= w->max_threads)
		return false;
	r = start_thread(w);
	if (r < 0 && !w->refused)
		log_warn("workers '%s': no thread can be started: %s", w->name,
			 error_errno_text(r));
	w->refused = r < 0;
	return false;
}

/* After wake_thread, without the lock: posts the semaphore, or sets the timer for another try. */
static void wake_end(struct workers *w, bool post, bool refused)
{
	if (post)
		sem_post(&w->wake);
	if (refused && !timer_pending(&w->retry))
		timer_set_ms(&w->retry, WORK_RETRY_MS);
}

/* The kernel refused a thread: tries again while work waits that no idle thread will take. */
static void on_retry(void *arg)
{
	struct workers *w = arg;
	bool post = false, refused = false;

	pthread_mutex_lock(&w->lock);
	if (TAILQ_EMPTY(&w->queue)) {
		w->refused = false;
	} else {
		post = wake_thread(w);
		refused = w->refused;
	}
	pthread_mutex_unlock(&w->lock);
	wake_end(w, post, refused);
}

/*
 * Returns true if a thread will soon check the queue by itself: it was just woken, or its current
 * work began less than patience_us ago. Caller holds the lock.
 */
static bool thread_comes(const struct workers *w, uint64_t now_us)
{
	const struct worker *worker;

	if (w->woken || w->starting)
		return true;
	TAILQ_FOREACH (worker, &w->running, link)
		/* Addition, not subtraction, because since_us can be later than now_us. */
		if (now_us < worker->since_us + w->patience_us)
			return true;
	return false;
}

/* Gives one more thread to work that has waited for patience_us. */
static void on_overdue(void *arg)
{
	struct workers *w = arg;
	struct work *first;
	bool waiting, wake = false, refused;

	pthread_mutex_lock(&w->lock);
	first = TAILQ_FIRST(&w->queue);
	waiting = first != NULL;
	if (waiting && clock_monotonic_us() - first->queued_us >= w->patience_us)
		wake = wake_thread(w);
	refused = w->refused;
	pthread_mutex_unlock(&w->lock);
	wake_end(w, wake, refused);
	if (waiting)
		timer_set_ms(&w->overdue, (w->patience_us + 999) / 1000);
}

struct workers *workers_new(struct loop *loop, const char *name, unsigned max_threads)
{
	struct workers *w = mem_zalloc(sizeof(*w));

	w->name = name;
	w->loop = loop;
	w->max_threads = max_threads;
	TAILQ_INIT(&w->queue);
	TAILQ_INIT(&w->finished);
	TAILQ_INIT(&w->running);
	TAILQ_INIT(&w->over);
	timer_init(&w->overdue, loop, on_overdue, w);
	timer_init(&w->retry, loop, on_retry, w);
	pthread_mutex_init(&w->lock, NULL);
	sem_init(&w->wake, 0, 0);
	pthread_cond_init(&w->ended, NULL);
	w->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	/* Fatal: at the start; every pool is made before the daemon serves. */
	if (w->eventfd < 0)
		fatal("eventfd failed");
	fd_event_init(&w->event, loop, w->eventfd, EV_READ | EV_PERSIST, workers_collect, w);
	fd_event_add(&w->event);
	return w;
}

void workers_set_patience(struct workers *w, unsigned patience_us)
{
	w->patience_us = patience_us;
}

void workers_obey_quotas(struct workers *w)
{
	w->obeys_quotas = true;
}

int workers_keep_thread(struct workers *w)
{
	int r = 0;

	pthread_mutex_lock(&w->lock);
	if (w->threads == 0)
		r = start_thread(w);
	w->keep = r == 0;
	pthread_mutex_unlock(&w->lock);
	return r;
}

void workers_release_thread(struct workers *w)
{
	pthread_mutex_lock(&w->lock);
	w->keep = 0;
	pthread_mutex_unlock(&w->lock);
	sem_post(&w->wake); /* it sleeps without a limit of time */
}

void work_submit(struct workers *w, struct work *work)
{
	uint64_t now_us = w->patience_us ? clock_monotonic_us() : 0;
	bool patient, wake = false, refused;

	count_busy(w, 1);
	work->queued_us = now_us;
	pthread_mutex_lock(&w->lock);
	TAILQ_INSERT_TAIL(&w->queue, work, link);
	patient = w->patience_us && thread_comes(w, now_us);
	if (!patient)
		wake = wake_thread(w);
	refused = w->refused;
	pthread_mutex_unlock(&w->lock);
	wake_end(w, wake, refused);
	if (patient && !timer_pending(&w->overdue))
		timer_set_ms(&w->overdue, (w->patience_us + 999) / 1000);
}

bool work_cancel(struct workers *w, struct work *work)
{
	struct work *queued;

	pthread_mutex_lock(&w->lock);
	TAILQ_FOREACH (queued, &w->queue, link)
		if (queued == work)
			break;
	if (queued)
		TAILQ_REMOVE(&w->queue, work, link);
	pthread_mutex_unlock(&w->lock);
	if (queued)
		count_busy(w, -1);
	return queued != NULL;
}

bool workers_starve(struct workers *w)
{
	bool refused;

	pthread_mutex_lock(&w->lock);
	refused = w->refused;
	pthread_mutex_unlock(&w->lock);
	return refused;
}

unsigned workers_busy(const struct workers *w)
{
	return w->busy;
}

void workers_free(struct workers *w)
{
	unsigned i;

	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	TAILQ_INIT(&w->queue);
	for (i = 0; i < w->threads; i++)
		sem_post(&w->wake);
	while (w->threads)
		pthread_cond_wait(&w->ended, &w->lock);
	pthread_mutex_unlock(&w->lock);
	free_workers(&w->over);
	w->loop->works -= w->busy;
	fd_event_del(&w->event);
	timer_cancel(&w->overdue);
	timer_cancel(&w->retry);
	close(w->eventfd);
	pthread_cond_destroy(&w->ended);
	sem_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
