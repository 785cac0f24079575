/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: libevent's loop, with descriptor events, deferred calls, timers and a clock.
 *
 * Each of these objects embeds libevent's `struct event` (event2/event_struct.h). Only base/loop.c
 * calls event_add, because it handles registrations that fail (scripts/include-check enforces
 * this).
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct loop {
	struct event_base *base;
	TAILQ_HEAD(fd_event_list, fd_event)
	unregistered; /* events that are not in the kernel's list */
	struct event retry;
	unsigned works; /* submitted pieces of work whose `done` has not been called yet */
};

void loop_init(struct loop *loop);
void loop_clear(struct loop *loop);

/* Runs until loop_stop. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/*
 * Waits for a descriptor: `what` is EV_READ or EV_WRITE, with EV_PERSIST if the callback is to come
 * again without a further fd_event_add.
 *
 * Adding does not fail for the caller. epoll_ctl(2) fails with ENOSPC if the user has too many
 * watches (/proc/sys/fs/epoll/max_user_watches), and with ENOMEM; the loop then tries again every
 * LOOP_RETRY_MS until the event is registered or deleted. epoll_ctl(2) fails with EPERM for a
 * regular file and for a directory. As in poll(2) these are always ready: the loop calls the
 * callback every LOOP_RETRY_MS. Adding a pending event does nothing, and neither does deleting an
 * event that is not pending. Delete an event before its descriptor is closed, before fd_event_init
 * is called again, and before its memory is freed.
 */
enum fd_event_state {
	FD_EVENT_IDLE,	  /* registered, or not added */
	FD_EVENT_REFUSED, /* the kernel lacks something */
	FD_EVENT_READY,	  /* a file that is always ready */
};

struct fd_event {
	struct event event;
	struct loop *loop;
	enum fd_event_state state;
	TAILQ_ENTRY(fd_event) link; /* in `unregistered`, unless IDLE */
};

#define LOOP_RETRY_MS 20

void fd_event_init(struct fd_event *e, struct loop *loop, int fd, short what, event_callback_fn run,
		   void *arg);
void fd_event_add(struct fd_event *e);
void fd_event_del(struct fd_event *e);

/*
 * Calls `run` on the loop at each signal of the number. For the start of a program: a failure is
 * fatal. Delete it with event_del.
 */
void signal_event_add(struct event *event, struct loop *loop, int number, event_callback_fn run,
		      void *arg);

/*
 * A deferred call: the loop makes it once, after the current callback has returned. Use it in an
 * interface that must not call its caller back from inside a call. Scheduling a pending call does
 * nothing, and neither does cancelling a call that is not pending.
 */
struct defer {
	struct event event;
	void (*run)(void *arg);
	void *arg;
};

void defer_init(struct defer *d, struct loop *loop, void (*run)(void *arg), void *arg);
void defer_schedule(struct defer *d);
void defer_cancel(struct defer *d);
bool defer_pending(const struct defer *d);

/* A one-shot timer. Setting a pending timer again changes its time. */
struct timer {
	struct event event;
	void (*run)(void *arg);
	void *arg;
};

void timer_init(struct timer *t, struct loop *loop, void (*run)(void *arg), void *arg);
void timer_set_ms(struct timer *t, uint64_t delay_ms);
void timer_cancel(struct timer *t);
bool timer_pending(const struct timer *t);

/* CLOCK_MONOTONIC: for timeouts, not for timestamps. It may not advance while a VM is paused. */
uint64_t clock_monotonic_ms(void);
uint64_t clock_monotonic_us(void);

#endif
