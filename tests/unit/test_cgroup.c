/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The texts of cgroup files, on directories of ordinary files; and the count of OOM kills. What the
 * kernel does is tested in tests/cgroup.
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
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/work.h"
#include "pty/cgroup/cgroup.h"
#include "pty/cgroup/cgroup_file.h"
#include "pty/cgroup/cgroups.h"
#include "pty/cgroup/oom_count.h"
#include "tests/unit/self.h"

static int dir_fd;

static void put(const char *path, const char *text)
{
	int fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static void test_keys(void **state)
{
	static const char events[] = "low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\noom_group_kill 0\n";
	static const struct {
		const char *name, *text, *key;
		bool found;
		uint64_t value;
	} cases[] = {
		{"first", events, "low", true, 0},
		{"not a longer one", events, "oom", true, 1},
		{"after a shorter one", events, "oom_kill", true, 2},
		{"last", events, "oom_group_kill", true, 0},
		{"absent", events, "frozen", false, 0},
		{"a part of one", events, "oom_", false, 0},
		{"the last line without an end", "populated 1\nfrozen 1", "frozen", true, 1},
		{"no value", "frozen\n", "frozen", false, 0},
		{"an empty value", "frozen \n", "frozen", false, 0},
		{"a word", "frozen max\n", "frozen", false, 0},
		{"a sign", "frozen -1\n", "frozen", false, 0},
		{"a number and more", "frozen 1x\n", "frozen", false, 0},
		{"too large", "usage_usec 99999999999999999999999\n", "usage_usec", false, 0},
		{"the largest", "usage_usec 18446744073709551615\n", "usage_usec", true,
		 UINT64_MAX},
		{"nothing", "", "frozen", false, 0},
	};
	uint64_t value;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		value = 0;
		print_message("%s\n", cases[i].name);
		assert_int_equal(cgroup_file_key(cases[i].text, cases[i].key, &value),
				 cases[i].found);
		if (cases[i].found)
			assert_true(value == cases[i].value);
	}
}

static void test_files(void **state)
{
	uint64_t value = 7;
	char text[8];

	assert_int_equal(cgroup_file_write(dir_fd, "absent", "1"), -ENOENT);
	assert_int_equal(faccessat(dir_fd, "absent", F_OK, 0), -1);
	put("freeze", "0\n");
	assert_int_equal(cgroup_file_write(dir_fd, "freeze", "1"), 0);
	assert_int_equal(cgroup_file_read_number(dir_fd, "freeze", &value), 0);
	assert_true(value == 1);
	put("max", "max\n");
	assert_int_equal(cgroup_file_read_number(dir_fd, "max", &value), 0);
	assert_true(value == UINT64_MAX);
	put("word", "threaded\n");
	assert_int_equal(cgroup_file_read_number(dir_fd, "word", &value), -ENODATA);
	assert_int_equal(cgroup_file_read(dir_fd, "word", text, sizeof(text)), 7);
	assert_string_equal(text, "threade");
	assert_int_equal(cgroup_file_read(dir_fd, "absent", text, sizeof(text)), -ENOENT);
	assert_string_equal(text, "");
	put("events", "populated 1\n");
	assert_int_equal(cgroup_file_read_key(dir_fd, "events", "populated", &value), 0);
	assert_int_equal(cgroup_file_read_key(dir_fd, "events", "frozen", &value), -ENODATA);
	assert_int_equal(cgroup_file_read_key(dir_fd, "absent", "frozen", &value), -ENOENT);
}

static void test_oom_count(void **state)
{
	struct oom_count oom = {0};

	/* What was killed before the first look is nobody's. */
	oom_count_update(&oom, 5, 1000);
	assert_false(oom_count_claim(&oom, 1000));
	/* One growth, one claim. */
	oom_count_update(&oom, 6, 1100);
	assert_true(oom_count_claim(&oom, 1100));
	assert_false(oom_count_claim(&oom, 1100));
	/* Several. */
	oom_count_update(&oom, 8, 1200);
	assert_true(oom_count_claim(&oom, 1200));
	assert_true(oom_count_claim(&oom, 1200 + OOM_CLAIM_MS));
	assert_false(oom_count_claim(&oom, 1200));
	/* Of a process that nobody waits for: it is not laid to the charge of a later one. */
	oom_count_update(&oom, 9, 20000);
	assert_false(oom_count_claim(&oom, 20000 + OOM_CLAIM_MS + 1));
	/* Old ones do not come back with a new one. */
	oom_count_update(&oom, 12, 40000);
	oom_count_update(&oom, 13, 40000 + OOM_CLAIM_MS + 1);
	assert_true(oom_count_claim(&oom, 40000 + OOM_CLAIM_MS + 1));
	assert_false(oom_count_claim(&oom, 40000 + OOM_CLAIM_MS + 1));
	/* A group that was made anew begins at nothing. */
	oom_count_update(&oom, 0, 60000);
	assert_false(oom_count_claim(&oom, 60000));
}

/*
 * An upgrade set the base anew: a process whose OOM kill the daemon before had counted, or that was
 * killed between the two daemons, was reported as killed by somebody.
 */
static void test_oom_count_goes_on(void **state)
{
	struct oom_count oom = {0};

	/* One kill was unclaimed, and two came since. */
	oom_count_update(&oom, 7, 100000);
	oom_count_continue(&oom, 5, 1, 100, 100000);
	assert_int_equal(oom.seen, 7);
	assert_true(oom_count_claim(&oom, 100000));
	assert_true(oom_count_claim(&oom, 100000));
	assert_true(oom_count_claim(&oom, 100000));
	assert_false(oom_count_claim(&oom, 100000));
	/* The unclaimed one is too old. */
	oom = (struct oom_count){0};
	oom_count_update(&oom, 5, 100000);
	oom_count_continue(&oom, 5, 1, OOM_CLAIM_MS + 1, 100000);
	assert_false(oom_count_claim(&oom, 100000));
	/* The group was made anew, or has no count. */
	oom = (struct oom_count){0};
	oom_count_update(&oom, 2, 100000);
	oom_count_continue(&oom, 5, 1, 0, 100000);
	assert_false(oom_count_claim(&oom, 100000));
	oom = (struct oom_count){0};
	oom_count_continue(&oom, 5, 1, 0, 100000);
	assert_false(oom.known);
	assert_false(oom_count_claim(&oom, 100000));
	/* Times from another boot. */
	oom_count_update(&oom, 5, 100000);
	oom_count_continue(&oom, 5, 1, UINT64_MAX, 100000);
	assert_false(oom_count_claim(&oom, 100000));
}

/*
 * Without a free descriptor a process was started all the same, in the daemon's own cgroup: no
 * limit of its group held for it, and no freeze reached it.
 */
static void test_enter_without_descriptors(void **state)
{
	struct cgroups c = {.root_fd = dir_fd, .entry = CGROUP_ENTRY_CLONE, .inotify_fd = -1};
	int entered = -1, procs = -1;
	struct cgroup *cg;
	struct loop loop;
	struct error err;

	loop_init(&loop);
	c.loop = &loop;
	c.workers = workers_new(&loop, "test", 1);
	c.group_fds[CGROUP_USER] = dir_fd;
	cgroup_removal_init(&c);
	for (int i = 0; i < 2; i++) {
		cg = cgroup_new(&c, CGROUP_USER);
		if (i == 0)
			take_descriptors();
		assert_int_equal(cgroup_enter(cg, &entered, &procs, &err), i == 0 ? -1 : 0);
		if (i == 0)
			give_descriptors();
		assert_int_equal(entered >= 0, i == 1);
		assert_int_equal(procs, -1);
		cgroup_release(cg);
	}
	assert_int_equal(err.code, ERROR_RESOURCE_EXHAUSTED);
	fd_close(&entered);
	while (faccessat(dir_fd, "p1", F_OK, 0) == 0 || faccessat(dir_fd, "p2", F_OK, 0) == 0 ||
	       workers_busy(c.workers))
		event_base_loop(loop.base, EVLOOP_ONCE);
	workers_free(c.workers);
	loop_clear(&loop);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_oom_count),
		cmocka_unit_test(test_oom_count_goes_on),
		cmocka_unit_test(test_enter_without_descriptors),
	};
	char path[] = "/tmp/test-cgroup-XXXXXX", command[64];
	int failed;

	if (!mkdtemp(path))
		return 1;
	dir_fd = open(path, O_RDONLY | O_DIRECTORY);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	close(dir_fd);
	snprintf(command, sizeof(command), "rm -r %s", path);
	return system(command) || failed;
}
