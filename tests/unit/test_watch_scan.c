/* SPDX-License-Identifier: Apache-2.0 */
/* A look at directories while signals interrupt it all the time. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "watch/engine/memory.h"
#include "watch/engine/mounts.h"
#include "watch/engine/source.h"

#define DIRS	  40
#define FILES	  100
#define SIGNAL_NS 100000

struct place {
	char top[32];
	timer_t timer;
};

static struct place *place;
static volatile sig_atomic_t n_signals;
static volatile sig_atomic_t enough;

/* One signal at a time, so that a slow machine also does something else. */
static void set_signal(void)
{
	static const struct itimerspec soon = {.it_value = {0, SIGNAL_NS}};

	timer_settime(place->timer, 0, &soon, NULL);
}

static void on_signal(int number)
{
	n_signals++;
	if (!enough)
		set_signal();
}

static int begin(void **state)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
	struct place *p = mem_zalloc(sizeof(*p));
	char path[64];
	unsigned i, k;
	int fd;

	strcpy(p->top, "/tmp/envd-scan-XXXXXX");
	assert_non_null(mkdtemp(p->top));
	for (i = 0; i < DIRS; i++) {
		snprintf(path, sizeof(path), "%s/%u", p->top, i);
		assert_int_equal(mkdir(path, 0755), 0);
		for (k = 0; k < FILES; k++) {
			snprintf(path, sizeof(path), "%s/%u/a file of %u", p->top, i, k);
			fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
			assert_true(fd >= 0);
			close(fd);
		}
	}
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &p->timer), 0);
	*state = place = p;
	return 0;
}

static int end(void **state)
{
	struct place *p = *state;
	char command[64];

	timer_delete(p->timer);
	snprintf(command, sizeof(command), "rm -rf %s", p->top);
	assert_int_equal(system(command), 0);
	free(p);
	return 0;
}

static struct watch_tree *watch(struct watch_source *source, const char *path)
{
	struct watch_tree *tree;
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	tree = watch_tree_new(path, st.st_dev, st.st_ino);
	tree->recursive = true;
	watch_source_add(source, tree);
	while (tree->state == WATCH_TREE_STARTING)
		watch_source_drive(source, true);
	assert_int_equal(tree->start_error, 0);
	return tree;
}

/*
 * If a signal waits, the kernel returns a part of the names. A short read once counted as the last,
 * and names were missing.
 */
static void test_every_name_is_read(void **state)
{
	struct place *p = *state;
	struct watch_memory memory;
	struct watch_mounts *mounts = watch_mounts_new();
	struct watch_source *source;
	struct watch_node *top;
	uint32_t at;

	watch_memory_init(&memory);
	source = watch_source_new(inotify_init1(IN_NONBLOCK | IN_CLOEXEC), &memory, mounts);
	assert_true(source->fd >= 0);
	set_signal();
	top = watch(source, p->top)->top;
	enough = true;
	assert_true(n_signals > 0);
	assert_int_equal(top->names.count, DIRS);
	for (at = watch_names_from(&top->names, 0); at != WATCH_NAME_NONE;
	     at = watch_names_next(&top->names, at))
		assert_int_equal(watch_names_node(&top->names, at)->names.count, FILES);
	watch_source_free(source);
	watch_mounts_free(mounts);
	assert_int_equal(memory.used_bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_name_is_read, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
