/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: libevent's loop, with deferred calls, timers and a clock.
 *
 * Fd events and timers are libevent's own `struct event`, embedded (event2/event_struct.h) and
 * assigned with event_assign(e, loop->base, …).
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

struct loop {
	struct event_base *base;
};

void loop_init(struct loop *loop);
void loop_clear(struct loop *loop);

/* Runs until loop_stop. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/*
 * A deferred call: the loop makes it once, after the current callback has returned. An interface
 * uses it if it must not call its caller back from inside a call. Scheduling a pending call does
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

/* A one-shot timer. Setting it again moves it. */
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
