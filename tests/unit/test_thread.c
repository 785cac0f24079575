/* A thread's stack: where it is, what is below it, and that it is gone with the thread. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/thread.h"

#define STACK_BYTES (64 * 1024)

struct seen {
	uintptr_t address; /* of something on its stack */
	int usr1_blocked;
};

static void *look(void *arg)
{
	struct seen *seen = arg;
	sigset_t blocked;

	seen->address = (uintptr_t)&blocked;
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
static void test_too_large(void **state)
{
	struct thread thread;
	struct seen seen;

	assert_int_equal(thread_start(&thread, SIZE_MAX / 2 & ~(size_t)0xffff, look, &seen),
			 -ENOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stack),
		cmocka_unit_test(test_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
