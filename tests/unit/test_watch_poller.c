/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watchers that are polled and that nobody asks. Some clients end without RemoveWatcher. What such
 * a watcher's queue held stayed charged until the daemon's next start.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/loop.h"
#include "base/mem.h"
#include "rpc/call_impl.h"
#include "rpc/context.h"
#include "watch/engine/event.h"
#include "watch/engine/memory.h"
#include "watch/service_impl.h"

static struct loop loop;
static struct context context;
static struct watch_service *service;

static int begin(void **state)
{
	memset(&context, 0, sizeof(context));
	loop_init(&loop);
	context.loop = &loop;
	budget_init(&context.budget);
	service = watch_service_new(&context);
	service->expires_ms = 1;
	return 0;
}

static int end(void **state)
{
	watch_service_free(service);
	assert_int_equal(context.budget.used[BUDGET_WATCHERS], 0);
	assert_int_equal(context.budget.used[BUDGET_BYTES], 0);
	loop_clear(&loop);
	return 0;
}

/* A polled watcher as CreateWatcher leaves it, with an id. */
static struct watcher *poller(const char *id)
{
	struct rpc_call call = {0};
	struct watcher *w = watcher_new(service, &call, true);

	assert_non_null(w);
	w->call = NULL;
	w->path = mem_strdup("/watched");
	watcher_set_state(w, WATCHER_LIVE);
	strcpy(w->id, id);
	watch_service_add(service, w);
	return w;
}

static void emit(struct watcher *w, unsigned n)
{
	struct watch_event *event;
	char name[32];
	unsigned i;

	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%u", i);
		event = watch_event_new(WATCH_CREATE, name, strlen(name));
		watcher_event(w, event, NULL);
		watch_event_unref(event);
	}
}

#define ID "w00000000000000000000000000000000"

static void test_a_full_one_expires(void **state)
{
	struct error err;

	emit(poller(ID), WATCH_QUEUE_MAX_EVENTS + 1);
	while (watch_service_find(service, ID, &err))
		event_base_loop(loop.base, EVLOOP_ONCE);
	assert_int_equal(err.code, ERROR_NOT_FOUND);
	assert_int_equal(context.budget.used[BUDGET_WATCHERS], 0);
	assert_int_equal(context.budget.used[BUDGET_BYTES], 0);
}

/* Whoever asks has it go on, although it is full again. */
static void test_one_that_is_asked_stays(void **state)
{
	struct watcher *w = poller(ID);

	emit(w, WATCH_QUEUE_MAX_EVENTS + 1);
	assert_true(timer_pending(&w->expires));
	watcher_asked(w);
	assert_false(timer_pending(&w->expires));
	emit(w, 1);
	assert_true(timer_pending(&w->expires));
}

/* One that holds no more than its share stays, however long nobody asks. */
static void test_one_with_room_stays(void **state)
{
	struct watcher *w = poller(ID);

	emit(w, WATCH_QUEUE_MAX_EVENTS);
	assert_false(timer_pending(&w->expires));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_full_one_expires, begin, end),
		cmocka_unit_test_setup_teardown(test_one_that_is_asked_stays, begin, end),
		cmocka_unit_test_setup_teardown(test_one_with_room_stays, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
