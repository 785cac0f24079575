/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include <time.h>

#include "base/log.h"
#include "base/loop_memory.h"
#include "base/mem.h"

static bool is_retrying; /* libevent's log callback has no argument */

/*
 * Logs libevent's messages. By default it writes them to stderr, which can block. The first refusal
 * of an event is a warning; its repetitions are for debugging.
 */
static void on_library_log(int severity, const char *text)
{
	if (severity >= EVENT_LOG_WARN && is_retrying)
		log_debug("libevent: %s", text);
	else if (severity >= EVENT_LOG_WARN)
		log_warn("libevent: %s", text);
}

static void retry_later(struct loop *loop)
{
	static const struct timeval delay = {.tv_usec = LOOP_RETRY_MS * 1000};

	event_add(&loop->retry, &delay); /* a timer: does not fail (base/loop_memory.h) */
}

/*
 * Registers the refused events. Stops at the first one that is refused again, and moves it to the
 * end.
 */
static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct loop *loop = arg;
	struct fd_event *e;
	int r = 0;

	is_retrying = true;
	while (r == 0 && (e = TAILQ_FIRST(&loop->refused))) {
		TAILQ_REMOVE(&loop->refused, e, refused_link);
		r = event_add(&e->event, NULL);
		e->is_refused = r < 0;
		if (e->is_refused)
			TAILQ_INSERT_TAIL(&loop->refused, e, refused_link);
	}
	is_retrying = false;
	if (!TAILQ_EMPTY(&loop->refused))
		retry_later(loop);
}

void loop_init(struct loop *loop)
{
	struct event_config *config;

	event_set_log_callback(on_library_log);
	loop_memory_init();
	config = event_config_new();
	/* The loop is never touched from other threads: they wake it through an eventfd. */
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	loop->base = event_base_new_with_config(config);
	event_config_free(config);
	/* Fatal: at the start (no epoll instance). */
	if (!loop->base)
		fatal("event_base_new failed");
	TAILQ_INIT(&loop->refused);
	evtimer_assign(&loop->retry, loop->base, on_retry, loop);
}

void loop_clear(struct loop *loop)
{
	if (loop->base)
		event_base_free(loop->base);
	loop->base = NULL;
}

void loop_run(struct loop *loop)
{
	event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
}

void loop_stop(struct loop *loop)
{
	event_base_loopbreak(loop->base);
}

void fd_event_init(struct fd_event *e, struct loop *loop, int fd, short what, event_callback_fn run,
		   void *arg)
{
	e->loop = loop;
	e->is_refused = false;
	/* Fatal: the caller's fault, because only a signal combined with a descriptor fails. */
	if (event_assign(&e->event, loop->base, fd, what, run, arg) < 0)
		fatal("event_assign failed");
}

void fd_event_add(struct fd_event *e)
{
	if (e->is_refused || event_add(&e->event, NULL) == 0)
		return;
	e->is_refused = true;
	TAILQ_INSERT_TAIL(&e->loop->refused, e, refused_link);
	if (!evtimer_pending(&e->loop->retry, NULL))
		retry_later(e->loop);
}

void fd_event_del(struct fd_event *e)
{
	if (e->is_refused)
		TAILQ_REMOVE(&e->loop->refused, e, refused_link);
	e->is_refused = false;
	event_del(&e->event);
}

void signal_event_add(struct event *event, struct loop *loop, int number, event_callback_fn run,
		      void *arg)
{
	evsignal_assign(event, loop->base, number, run, arg);
	/* Fatal: at the start. */
	if (event_add(event, NULL) < 0)
		fatal("signal %d can't be watched", number);
}

static void defer_fire(evutil_socket_t fd, short what, void *arg)
{
	struct defer *d = arg;

	d->run(d->arg);
}

void defer_init(struct defer *d, struct loop *loop, void (*run)(void *arg), void *arg)
{
	d->run = run;
	d->arg = arg;
	/* Without a descriptor and a signal it does not fail. */
	event_assign(&d->event, loop->base, -1, 0, defer_fire, d);
}

void defer_schedule(struct defer *d)
{
	event_active(&d->event, EV_TIMEOUT, 1);
}

void defer_cancel(struct defer *d)
{
	event_del(&d->event);
}

bool defer_pending(const struct defer *d)
{
	return event_pending(&d->event, EV_TIMEOUT, NULL) != 0;
}

static void timer_fire(evutil_socket_t fd, short what, void *arg)
{
	struct timer *t = arg;

	t->run(t->arg);
}

void timer_init(struct timer *t, struct loop *loop, void (*run)(void *arg), void *arg)
{
	t->run = run;
	t->arg = arg;
	evtimer_assign(&t->event, loop->base, timer_fire, t); /* as in defer_init */
}

void timer_set_ms(struct timer *t, uint64_t delay_ms)
{
	struct timeval tv;

	/* At most a century, so that the arithmetic of timeval does not overflow. */
	if (delay_ms > 3155760000000u)
		delay_ms = 3155760000000u;
	tv.tv_sec = (time_t)(delay_ms / 1000);
	tv.tv_usec = (suseconds_t)(delay_ms % 1000 * 1000);
	event_add(&t->event, &tv); /* a timer: does not fail (base/loop_memory.h) */
}

void timer_cancel(struct timer *t)
{
	event_del(&t->event);
}

bool timer_pending(const struct timer *t)
{
	return event_pending(&t->event, EV_TIMEOUT, NULL) != 0;
}

uint64_t clock_monotonic_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

uint64_t clock_monotonic_ms(void)
{
	return clock_monotonic_us() / 1000u;
}
