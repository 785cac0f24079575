/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread's stack: where it is, what is below it, and that it is gone with the thread; and what a
 * thread has for itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/thread.h"

#define STACK_BYTES (256 * 1024)

struct seen {
	uintptr_t address; /* of something on its stack */
	int usr1_blocked;
};

static void *look(void *arg)
{
	struct seen *seen = arg;
	sigset_t blocked;

	/* Not the address of a variable: the address sanitizer may keep variables elsewhere. */
	seen->address = (uintptr_t)__builtin_frame_address(0);
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	seen->usr1_blocked = sigismember(&blocked, SIGUSR1);
	return NULL;
}

/* Whether the page is part of the address space. */
static int is_mapped(const char *page)
{
	unsigned char resident;

	return mincore((void *)(uintptr_t)page, 1, &resident) == 0;
}

/* Goes to a directory, and says where it is then and after. */
static void *walk_about(void *arg)
{
	char(*where)[PATH_MAX] = arg;
	int fd = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || thread_enter_dir(fd) < 0)
		return NULL;
	if (!getcwd(where[0], PATH_MAX))
		where[0][0] = '\0';
	close(fd);
	thread_leave_dir();
	if (!getcwd(where[1], PATH_MAX))
		where[1][0] = '\0';
	return NULL;
}

/* A thread has a working directory of its own; the others stay where they are. */
static void test_stand_in(void **state)
{
	char before[PATH_MAX], after[PATH_MAX], where[2][PATH_MAX] = {"", ""}, expected[64];
	struct thread thread;

	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(thread_start(&thread, STACK_BYTES, walk_about, where), 0);
	thread_join(&thread);
	snprintf(expected, sizeof(expected), "/proc/%d", getpid());
	assert_string_equal(where[0], expected);
	assert_string_equal(where[1], "/");
	assert_non_null(getcwd(after, sizeof(after)));
	assert_string_equal(after, before);
	thread_leave_dir();
	assert_non_null(getcwd(after, sizeof(after)));
	assert_string_equal(after, before);
}

static void test_stack(void **state)
{
	struct thread thread;
	struct seen seen = {0};
	sigset_t blocked;
	char *map;

	assert_int_equal(thread_start(&thread, STACK_BYTES, look, &seen), 0);
	map = thread.map;
	assert_true(is_mapped(map));
	assert_true(is_mapped(map + STACK_BYTES));
	thread_join(&thread);

	assert_true(seen.address > (uintptr_t)map + (uintptr_t)sysconf(_SC_PAGESIZE));
	assert_true(seen.address < (uintptr_t)map + thread.map_bytes);
	assert_int_equal(seen.usr1_blocked, 1);
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	assert_int_equal(sigismember(&blocked, SIGUSR1), 0);
	assert_false(is_mapped(map));
	assert_false(is_mapped(map + STACK_BYTES));
}

/* A stack that can't be had is an error, and leaves nothing. */
static void test_bad_size(void **state)
{
	struct thread thread;
	struct seen seen;

	assert_int_equal(thread_start(&thread, 4096, look, &seen), -EINVAL);
	assert_int_equal(thread_start(&thread, SIZE_MAX / 2 & ~(size_t)0xffff, look, &seen),
			 -ENOMEM);
}

/* The capabilities in effect for the calling thread. */
static unsigned long long effective(void)
{
	unsigned long long set = 0;
	char line[128];
	FILE *f = fopen("/proc/thread-self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "CapEff:", 7) == 0)
			set = strtoull(line + 7, NULL, 16);
	if (f)
		fclose(f);
	return set;
}

static void *obey_quotas(void *arg)
{
	unsigned long long *set = arg;

	thread_obey_quotas();
	*set = effective();
	return NULL;
}

/* One thread loses one capability, if the process has it; the process keeps it. */
static void test_obey_quotas(void **state)
{
	unsigned long long before = effective(), set = 0;
	struct thread t;

	assert_int_equal(thread_start(&t, STACK_BYTES, obey_quotas, &set), 0);
	thread_join(&t);
	assert_int_equal(set, before & ~(1ull << CAP_SYS_RESOURCE));
	assert_int_equal(effective(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stand_in),
		cmocka_unit_test(test_stack),
		cmocka_unit_test(test_obey_quotas),
		cmocka_unit_test(test_bad_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
