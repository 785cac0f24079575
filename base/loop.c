/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include <sys/stat.h>
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

/* The only writer of the state. */
static void fd_event_set_state(struct fd_event *e, enum fd_event_state state)
{
	static const char *const names[] = {
		[FD_EVENT_IDLE] = "idle",
		[FD_EVENT_REFUSED] = "refused",
		[FD_EVENT_READY] = "always ready",
	};
	struct loop *loop = e->loop;

	if (e->state == state)
		return;
	log_debug("event of descriptor %d: %s -> %s", event_get_fd(&e->event), names[e->state],
		  names[state]);
	if (e->state != FD_EVENT_IDLE)
		TAILQ_REMOVE(&loop->unregistered, e, link);
	e->state = state;
	if (state == FD_EVENT_IDLE)
		return;
	TAILQ_INSERT_TAIL(&loop->unregistered, e, link);
	if (!evtimer_pending(&loop->retry, NULL))
		retry_later(loop);
}

/* Calls the callback of an event whose descriptor is always ready. */
static void fd_event_report(struct fd_event *e)
{
	short events = event_get_events(&e->event);

	if (!(events & EV_PERSIST))
		fd_event_set_state(e, FD_EVENT_IDLE);
	event_active(&e->event, events & (EV_READ | EV_WRITE), 1);
}

/*
 * Registers the refused events until one is refused again; that one moves to the end. Reports those
 * that are always ready.
 */
static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct loop *loop = arg;
	struct fd_event *e, *next, *last = TAILQ_LAST(&loop->unregistered, fd_event_list);
	bool refused = false;

	is_retrying = true;
	for (e = TAILQ_FIRST(&loop->unregistered); e; e = e == last ? NULL : next) {
		next = TAILQ_NEXT(e, link);
		if (e->state == FD_EVENT_READY) {
			fd_event_report(e);
		} else if (!refused) {
			refused = event_add(&e->event, NULL) < 0;
			fd_event_set_state(e, FD_EVENT_IDLE);
			if (refused)
				fd_event_set_state(e, FD_EVENT_REFUSED);
		}
	}
	is_retrying = false;
	if (!TAILQ_EMPTY(&loop->unregistered) && !evtimer_pending(&loop->retry, NULL))
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
	TAILQ_INIT(&loop->unregistered);
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
	e->state = FD_EVENT_IDLE;
	/* Fatal: the caller's fault, because only a signal combined with a descriptor fails. */
	if (event_assign(&e->event, loop->base, fd, what, run, arg) < 0)
		fatal("event_assign failed");
}

void fd_event_add(struct fd_event *e)
{
	struct stat status;

	if (e->state != FD_EVENT_IDLE || event_add(&e->event, NULL) == 0)
		return;
	/* The library's log may have changed errno. */
	if (fstat(event_get_fd(&e->event), &status) == 0 &&
	    (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)))
		fd_event_set_state(e, FD_EVENT_READY);
	else
		fd_event_set_state(e, FD_EVENT_REFUSED);
}

void fd_event_del(struct fd_event *e)
{
	fd_event_set_state(e, FD_EVENT_IDLE);
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
