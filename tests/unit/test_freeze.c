/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The freezer, on a hierarchy of ordinary files, where nothing stops but what the test says has
 * stopped. On the kernel's: tests/cgroup. Its walks: test_freeze_tree.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/work.h"
#include "envd/control/freeze_tree.h"
#include "envd/control/freezer.h"
#include "envd/control/freezer_impl.h"
#include "envd/control/lifecycle.h"
#include "tests/unit/cgroup_tree.h"

static struct loop loop;
static struct freeze_result frozen_result;
static struct thaw_result thawed_result;
static unsigned n_frozen, n_thawed;
static bool held;

static void on_hold(void *arg, bool hold)
{
	held = hold;
}

static bool starting;

static bool on_starting(void *arg)
{
	return starting;
}

static const struct freezer_hooks hooks = {.hold = on_hold, .starting = on_starting};

static void on_frozen(void *arg, const struct freeze_result *result)
{
	frozen_result = *result;
	n_frozen++;
}

static void on_thawed(void *arg, const struct thaw_result *result)
{
	thawed_result = *result;
	n_thawed++;
}

#define WAIT_FOR(condition)                                                                        \
	do {                                                                                       \
		uint64_t until_ms = clock_monotonic_ms() + 30000;                                  \
		while (!(condition)) {                                                             \
			if (clock_monotonic_ms() > until_ms)                                       \
				fail_msg("waited in vain: %s", #condition);                        \
			event_base_loop(loop.base, EVLOOP_NONBLOCK);                               \
			usleep(500);                                                               \
		}                                                                                  \
	} while (0)

static struct freezer *start(uint64_t watchdog_ms)
{
	tree_begin();
	loop_init(&loop);
	n_frozen = n_thawed = 0;
	held = starting = false;
	return freezer_new(&loop, tree_root_fd, watchdog_ms, &hooks);
}

static void finish(struct freezer *f)
{
	freezer_free(f);
	loop_clear(&loop);
	tree_end();
}

static void freeze(struct freezer *f, bool hierarchy, int64_t max_wait_ms)
{
	struct freeze_request request = {.hierarchy = hierarchy, .max_wait_ms = max_wait_ms};
	unsigned before = n_frozen;

	freezer_freeze(f, &request, on_frozen, NULL);
	assert_int_equal(n_frozen, before);
	WAIT_FOR(n_frozen == before + 1);
}

static void thaw(struct freezer *f)
{
	unsigned before = n_thawed;

	freezer_thaw(f, &(struct thaw_request){.audit = true}, on_thawed, NULL);
	assert_int_equal(n_thawed, before);
	WAIT_FOR(n_thawed == before + 1);
}

static void test_freeze_and_thaw(void **state)
{
	struct freezer *f = start(FREEZER_WATCHDOG_MS);

	tree_make("docker");
	tree_put("user", "cgroup.events", "frozen 1\n");
	freeze(f, true, 20);
	assert_true(held);
	assert_true(frozen_result.hierarchy);
	assert_int_equal(frozen_result.requested, 3);
	assert_int_equal(frozen_result.frozen, 1);
	assert_int_equal(frozen_result.not_frozen, 2);
	assert_int_equal(frozen_result.allowlisted, 1);
	assert_int_equal(frozen_result.visited, 4);
	assert_true(frozen_result.wait_ms >= 20);
	tree_put("docker", "cgroup.events", "frozen 1\n");
	thaw(f);
	assert_false(held);
	assert_true(thawed_result.complete);
	assert_string_equal(thawed_result.audit, "{\"visited\":5,\"frozen\":2,\"escaped\":1,"
						 "\"violations\":0,\"truncated\":false}");
	assert_int_equal(tree_asked("docker"), 0);
	/* Audited once. */
	thaw(f);
	assert_string_equal(thawed_result.audit, "");
	finish(f);
}

/*
 * Without a free descriptor the daemon did not find its own cgroup, took itself for a process
 * outside the hierarchy, and froze its own cgroup with the others: nobody was left to thaw.
 */
static void test_the_daemons_cgroup_is_unknown(void **state)
{
	struct freezer *f = start(FREEZER_WATCHDOG_MS);
	char pids[64];

	tree_make("agent");
	snprintf(pids, sizeof(pids), "1\n%d\n", (int)getpid());
	tree_put("agent", "cgroup.procs", pids);
	f->proc_file = tree_top; /* a directory can't be read */
	freeze(f, true, 0);
	assert_false(frozen_result.hierarchy);
	assert_int_equal(frozen_result.failed, 1);
	assert_int_equal(frozen_result.requested, 2);
	assert_int_equal(tree_asked("agent"), 0);
	assert_int_equal(tree_asked("user"), 1);
	thaw(f);
	assert_true(thawed_result.complete);
	finish(f);
}

/* A second freeze must not take the first one's doing for the guest's. */
static void test_frozen_twice(void **state)
{
	struct freezer *f = start(FREEZER_WATCHDOG_MS);

	tree_make("docker");
	tree_make("paused");
	tree_put("paused", "cgroup.freeze", "1\n");
	freeze(f, true, 0);
	freeze(f, true, 0);
	assert_int_equal(frozen_result.pre_frozen, 1);
	assert_int_equal(frozen_result.requested, 3);
	thaw(f);
	assert_int_equal(tree_asked("docker"), 0);
	assert_int_equal(tree_asked("paused"), 1);
	finish(f);
}

static void test_without_a_freeze_the_guests_own_stay(void **state)
{
	struct freezer *f = start(FREEZER_WATCHDOG_MS);

	tree_make("paused");
	tree_put("paused", "cgroup.freeze", "1\n");
	thaw(f);
	assert_true(thawed_result.complete);
	assert_int_equal(tree_asked("paused"), 1);
	finish(f);
}

/* What a daemon left that ended meanwhile: told by user and ptys. */
static void test_after_another_daemons_freeze(void **state)
{
	struct freezer *f = start(FREEZER_WATCHDOG_MS);

	tree_make("docker");
	tree_put("user", "cgroup.freeze", "1\n");
	tree_put("user", "cgroup.events", "frozen 1\n");
	tree_put("docker", "cgroup.freeze", "1\n");
	thaw(f);
	assert_int_equal(tree_asked("user"), 0);
	assert_int_equal(tree_asked("docker"), 0);
	/* Nobody knows what that freeze was to reach. */
	assert_string_equal(thawed_result.audit, "");
	finish(f);
}

static void test_the_watchdog(void **state)
{
	struct freezer *f = start(50);

	freeze(f, false, 0);
	assert_int_equal(tree_asked("user"), 1);
	WAIT_FOR(freezer_stats(f)->rescues == 1);
	assert_int_equal(tree_asked("user"), 0);
	assert_false(held);
	finish(f);
}

/* A thaw that could not do all is tried again, until it can. */
static void test_the_watchdog_does_not_give_up(void **state)
{
	struct freezer *f = start(50);

	freeze(f, false, 0);
	assert_int_equal(unlinkat(tree_root_fd, "user/cgroup.freeze", 0), 0);
	assert_int_equal(mkdirat(tree_root_fd, "user/cgroup.freeze", 0755), 0);
	thaw(f);
	assert_false(thawed_result.complete);
	assert_true(held);
	WAIT_FOR(freezer_stats(f)->rescues >= 2);
	assert_true(held);
	assert_int_equal(unlinkat(tree_root_fd, "user/cgroup.freeze", AT_REMOVEDIR), 0);
	tree_put("user", "cgroup.freeze", "1\n");
	WAIT_FOR(!held);
	assert_int_equal(tree_asked("user"), 0);
	finish(f);
}

static void test_a_caller_that_gives_up(void **state)
{
	struct freeze_request request = {.max_wait_ms = 3600000};
	struct freezer *f = start(FREEZER_WATCHDOG_MS);
	struct freeze_job *first, *second;

	first = freezer_freeze(f, &request, on_frozen, NULL);
	WAIT_FOR(tree_asked("ptys") == 1);
	second = freezer_freeze(f, &request, on_frozen, NULL);
	freezer_give_up(second);
	assert_true(held);
	freezer_thaw(f, &(struct thaw_request){0}, on_thawed, NULL);
	freezer_give_up(first);
	WAIT_FOR(n_thawed == 1);
	assert_int_equal(n_frozen, 0);
	assert_int_equal(freezer_stats(f)->freezes, 1);
	assert_int_equal(tree_asked("ptys"), 0);
	assert_false(held);
	finish(f);
}

static void test_without_cgroups(void **state)
{
	struct freezer *f = start(FREEZER_WATCHDOG_MS), *none;

	none = freezer_new(&loop, -1, FREEZER_WATCHDOG_MS, &hooks);
	freeze(none, true, 100);
	assert_false(frozen_result.hierarchy);
	assert_int_equal(frozen_result.requested, 2);
	assert_int_equal(frozen_result.unobservable, 2);
	assert_int_equal(frozen_result.not_frozen, 0);
	/* Processes are not started until the thaw, although nothing could be frozen. */
	assert_true(held);
	thaw(none);
	assert_true(thawed_result.complete);
	assert_false(held);
	freezer_free(none);
	finish(f);
}

/*
 * A child that is frozen between its fork and its exec keeps its worker until the thaw. So a freeze
 * waits for starts that are under way, and gives up without freezing anything if one takes too
 * long.
 */
static void test_a_freeze_waits_for_starts(void **state)
{
	struct freeze_request request = {.max_wait_ms = 0};
	struct freezer *f = start(FREEZER_WATCHDOG_MS);

	starting = true;
	freezer_freeze(f, &request, on_frozen, NULL);
	assert_true(held);
	event_base_loop(loop.base, EVLOOP_NONBLOCK);
	event_base_loop(loop.base, EVLOOP_NONBLOCK);
	assert_int_equal(tree_asked("user"), 0);
	starting = false;
	WAIT_FOR(n_frozen == 1);
	assert_int_equal(tree_asked("user"), 1);
	thaw(f);
	starting = true;
	freeze(f, false, 0);
	assert_int_equal(frozen_result.failed, 2);
	assert_int_equal(frozen_result.requested, 0);
	assert_int_equal(tree_asked("user"), 0);
	assert_false(held);
	finish(f);
}

/* A thaw that was asked for behind a freeze which still waits for starts comes behind it. */
static void test_jobs_keep_their_order_while_one_drains(void **state)
{
	struct freeze_request request = {.max_wait_ms = 0};
	struct freezer *f = start(FREEZER_WATCHDOG_MS);

	starting = true;
	freezer_freeze(f, &request, on_frozen, NULL);
	freezer_thaw(f, &(struct thaw_request){0}, on_thawed, NULL);
	event_base_loop(loop.base, EVLOOP_NONBLOCK);
	event_base_loop(loop.base, EVLOOP_NONBLOCK);
	assert_int_equal(n_thawed, 0);
	starting = false;
	WAIT_FOR(n_thawed == 1);
	assert_int_equal(n_frozen, 1);
	assert_int_equal(tree_asked("user"), 0);
	assert_false(held);
	finish(f);
}

/*
 * An /init that had entered before a freeze thawed it again: a snapshot was then taken of a running
 * workload. Its thaw is void, and one of a later /init is not.
 */
static void test_a_freeze_voids_the_thaws_of_earlier_generations(void **state)
{
	struct freezer *f = start(FREEZER_WATCHDOG_MS);
	struct thaw_request request = {.generation = freezer_generation(f)};

	freeze(f, false, 0);
	assert_int_equal(freezer_generation(f), request.generation + 1);
	freezer_thaw(f, &request, on_thawed, NULL);
	WAIT_FOR(n_thawed == 1);
	assert_true(thawed_result.withheld);
	assert_int_equal(tree_asked("user"), 1);
	assert_true(held);
	request.generation = freezer_generation(f);
	freezer_thaw(f, &request, on_thawed, NULL);
	WAIT_FOR(n_thawed == 2);
	assert_false(thawed_result.withheld);
	assert_int_equal(tree_asked("user"), 0);
	finish(f);
}

/*
 * Of user and ptys one is missing: an error, but the other one is thawed and starts are admitted.
 */
static void test_a_missing_group(void **state)
{
	struct freezer *f = start(FREEZER_WATCHDOG_MS);

	assert_int_equal(unlinkat(tree_root_fd, "ptys/cgroup.freeze", 0), 0);
	freeze(f, true, 0);
	assert_int_equal(frozen_result.failed, 1);
	assert_int_equal(frozen_result.vanished, 0);
	thaw(f);
	assert_false(thawed_result.complete);
	assert_int_equal(tree_asked("user"), 0);
	assert_false(held);
	finish(f);
}

static void keep_vanished_paths(const struct log_line *line, void *arg)
{
	size_t i;

	for (i = 0; i < line->n_fields; i++)
		if (strcmp(line->fields[i].name, "vanished_paths") == 0)
			snprintf(arg, 1024, "%s", line->fields[i].text);
}

/* Cgroups come and go during a freeze; one that is gone needs no freeze and is no failure. */
static void test_cgroups_that_vanish(void **state)
{
	struct freezer *f = start(FREEZER_WATCHDOG_MS);
	char line[1024] = "", paths[512];

	tree_make("docker");
	tree_make("gone");
	assert_int_equal(unlinkat(tree_root_fd, "gone/cgroup.freeze", 0), 0);
	assert_int_equal(unlinkat(tree_root_fd, "docker/cgroup.events", 0), 0);
	log_set_sink(keep_vanished_paths, line);
	freeze(f, true, 20);
	log_set_sink(NULL, NULL);
	snprintf(paths, sizeof(paths), "[\"%s/gone\",\"%s/docker\"]", tree_top, tree_top);
	assert_string_equal(line, paths);
	assert_int_equal(frozen_result.vanished, 2); /* before the write, and while waited for */
	assert_int_equal(frozen_result.requested, 3);
	assert_int_equal(frozen_result.failed, 0);
	assert_int_equal(frozen_result.not_frozen, 2);
	thaw(f);
	assert_true(thawed_result.complete);
	finish(f);
}

/* ---- no thread to be had ---- */

#define NOBODY 54321

static unsigned n_prepared;

static void on_prepared(void *arg, uint64_t number)
{
	n_prepared++;
}

/* Runs the loop until the count is 1. False: it is not, after 30 s. */
static bool comes(const unsigned *count)
{
	uint64_t until_ms = clock_monotonic_ms() + 30000;

	while (*count == 0 && clock_monotonic_ms() < until_ms) {
		event_base_loop(loop.base, EVLOOP_NONBLOCK);
		usleep(500);
	}
	return *count == 1;
}

static unsigned n_kills;

static void kill_run(struct work *work)
{
}

static void kill_done(struct work *work)
{
	n_kills++;
}

/* A user with one task more than RLIMIT_NPROC allows (root is not bound by it). */
static int starved_child(void)
{
	struct work a_kill = {.run = kill_run, .done = kill_done};
	struct freeze_request request = {.max_wait_ms = INT64_MAX};
	struct rlimit limit = {.rlim_cur = 1, .rlim_max = 1};
	struct lifecycle *lifecycle;
	struct workers *spare;
	struct freezer *f;

	if (geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return 1;
	loop_init(&loop);
	n_frozen = n_thawed = 0;
	f = freezer_new(&loop, tree_root_fd, FREEZER_WATCHDOG_MS, &hooks);
	spare = workers_new(&loop, "spare", 1);
	lifecycle = lifecycle_new(&loop);
	lifecycle_set_hooks(lifecycle, tree_top, 60000);
	freezer_set_spare(f, spare);
	if (workers_keep_thread(spare) < 0 || setrlimit(RLIMIT_NPROC, &limit) < 0)
		return 2;
	freezer_freeze(f, &request, on_frozen, NULL);
	while (tree_asked("ptys") != 1)
		event_base_loop(loop.base, EVLOOP_NONBLOCK);
	work_submit(spare, &a_kill);
	if (!comes(&n_kills) || n_frozen)
		return 6;
	tree_put("user", "cgroup.events", "frozen 1\n");
	tree_put("ptys", "cgroup.events", "frozen 1\n");
	if (!comes(&n_frozen) || frozen_result.frozen != 2 || tree_asked("user") != 1)
		return 3;
	freezer_thaw(f, &(struct thaw_request){0}, on_thawed, NULL);
	if (!comes(&n_thawed) || !thawed_result.complete || tree_asked("user") != 0)
		return 4;
	lifecycle_before_freeze(lifecycle, 1, on_prepared, NULL);
	if (!comes(&n_prepared))
		return 5;
	lifecycle_free(lifecycle);
	workers_free(spare);
	freezer_free(f);
	return 0;
}

/*
 * A fork bomb had used up all processes: the kernel refused the thread of the freezer and the one
 * of the hooks, and /freeze, /unfreeze and the thaw of /init waited for them for good. Then the
 * freeze ran on the pool for kills, but waited there for 500 ms at most: that was not enough for a
 * thousand processes, and the guest could not be paused. It waits in slices, and kills between.
 */
static void test_no_thread_can_be_started(void **state)
{
	char command[96];
	int status;
	pid_t pid;

	tree_begin();
	snprintf(command, sizeof(command), "chown -R %d %s", NOBODY, tree_top);
	assert_true(geteuid() != 0 || system(command) == 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(starved_child());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	tree_end();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_freeze_and_thaw),
		cmocka_unit_test(test_the_daemons_cgroup_is_unknown),
		cmocka_unit_test(test_frozen_twice),
		cmocka_unit_test(test_without_a_freeze_the_guests_own_stay),
		cmocka_unit_test(test_after_another_daemons_freeze),
		cmocka_unit_test(test_the_watchdog),
		cmocka_unit_test(test_the_watchdog_does_not_give_up),
		cmocka_unit_test(test_a_caller_that_gives_up),
		cmocka_unit_test(test_without_cgroups),
		cmocka_unit_test(test_a_freeze_waits_for_starts),
		cmocka_unit_test(test_jobs_keep_their_order_while_one_drains),
		cmocka_unit_test(test_a_freeze_voids_the_thaws_of_earlier_generations),
		cmocka_unit_test(test_a_missing_group),
		cmocka_unit_test(test_cgroups_that_vanish),
		cmocka_unit_test(test_no_thread_can_be_started),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
