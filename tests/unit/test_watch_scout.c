/* The scout: what it sees, in which order, and that nothing stays watched for its sake. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/mem.h"
#include "watch/engine/memory.h"
#include "watch/engine/mounts.h"
#include "watch/engine/reach.h"
#include "watch/engine/scout.h"
#include "watch/engine/source.h"

#define DIRS 100

struct place {
	char top[32];
	int fd;
	int inotify_fd;
};

static int begin(void **state)
{
	struct place *p = mem_zalloc(sizeof(*p));

	strcpy(p->top, "/tmp/envd-scout-XXXXXX");
	assert_non_null(mkdtemp(p->top));
	p->fd = open(p->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	p->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	assert_true(p->fd >= 0 && p->inotify_fd >= 0);
	*state = p;
	return 0;
}

static int end(void **state)
{
	struct place *p = *state;
	char command[64];

	fd_close(&p->fd);
	fd_close(&p->inotify_fd);
	snprintf(command, sizeof(command), "rm -rf %s", p->top);
	assert_int_equal(system(command), 0);
	free(p);
	return 0;
}

static bool has_scouts(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 1;
}

/* The watches that the kernel keeps for an instance. */
static unsigned count_watches(int inotify_fd)
{
	char path[64], line[256];
	unsigned n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", inotify_fd);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strncmp(line, "inotify wd:", 11) == 0;
	fclose(f);
	return n;
}

static unsigned count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void check_seen(struct place *p, const char *name, struct watch_seen *seen)
{
	struct stat st;

	assert_true(seen->fd >= 0);
	assert_true(seen->wd > 0);
	assert_int_equal(fstatat(p->fd, name, &st, 0), 0);
	assert_int_equal(seen->st.st_ino, st.st_ino);
	assert_int_equal(fstat(seen->fd, &st), 0);
	assert_int_equal(seen->st.st_ino, st.st_ino);
	fd_close(&seen->fd);
}

/* What is given is seen in that order, whatever it is. */
static void test_order(void **state)
{
	struct place *p = *state;
	struct watch_scout *scout;
	struct watch_seen seen;
	unsigned given = 0, taken;
	char names[DIRS][8];
	int run;

	if (!has_scouts())
		return;
	for (taken = 0; taken < DIRS; taken++) {
		snprintf(names[taken], sizeof(names[taken]), "%u", taken);
		/* Each tenth is missing, and the one behind it is a link. */
		if (taken % 10 == 1)
			assert_int_equal(symlinkat("0", p->fd, names[taken]), 0);
		else if (taken % 10)
			assert_int_equal(mkdirat(p->fd, names[taken], 0755), 0);
	}
	scout = watch_scout_new(p->inotify_fd);
	assert_non_null(scout);
	run = watch_scout_begin(scout, p->fd);
	assert_true(run >= 0);
	for (taken = 0; taken < DIRS; taken++) {
		while (given < DIRS && watch_scout_ahead(scout, run) < WATCH_SCOUT_AHEAD)
			watch_scout_give(scout, run, names[given++]);
		watch_scout_take(scout, run, &seen);
		if (taken % 10 == 0)
			assert_int_equal(seen.fd, -ENOENT);
		else if (taken % 10 == 1)
			assert_true(seen.fd == -ENOTDIR || seen.fd == -ELOOP);
		else
			check_seen(p, names[taken], &seen);
	}
	watch_scout_end(scout, run);
	watch_scout_free(scout);
	assert_int_equal(count_watches(p->inotify_fd), DIRS / 10 * 8);
}

/* Runs lie in each other; there are no more than so many. */
static void test_runs(void **state)
{
	struct place *p = *state;
	struct watch_scout *scout;
	struct watch_seen seen;
	int i;

	if (!has_scouts())
		return;
	scout = watch_scout_new(p->inotify_fd);
	assert_non_null(scout);
	for (i = 0; i < WATCH_SCOUT_RUNS; i++) {
		assert_int_equal(watch_scout_begin(scout, p->fd), i);
		watch_scout_give(scout, i, ".");
	}
	assert_int_equal(watch_scout_begin(scout, p->fd), -1);
	while (i-- > 0) {
		watch_scout_take(scout, i, &seen);
		check_seen(p, ".", &seen);
		watch_scout_end(scout, i);
	}
	watch_scout_free(scout);
}

static void drop_outputs(struct watch_source *source)
{
	while (source->n_outputs > 0) {
		source->n_outputs--;
		watch_event_unref(source->outputs[source->n_outputs].event);
		watch_event_unref(source->outputs[source->n_outputs].first);
	}
}

/* A tree that is taken away while a scout is ahead leaves no watch and no descriptor. */
static void test_interrupted(void **state)
{
	struct place *p = *state;
	unsigned descriptors = count_descriptors(), steps = 0, i;
	struct watch_memory memory;
	struct watch_source *source;
	struct watch_tree *tree;
	struct stat st;
	char name[64];

	mkdirat(p->fd, "tree", 0755);
	mkdirat(p->fd, "new", 0755);
	for (i = 0; i < DIRS; i++) {
		snprintf(name, sizeof(name), "new/%u", i);
		assert_int_equal(mkdirat(p->fd, name, 0755), 0);
	}
	watch_memory_init(&memory);
	struct watch_mounts *mounts = watch_mounts_new();
	assert_int_equal(watch_source_new(&memory, mounts, NULL, &source), 0);
	source->drive_events = 1;
	snprintf(name, sizeof(name), "%s/tree", p->top);
	assert_int_equal(stat(name, &st), 0);
	tree = watch_tree_new(name, st.st_dev, st.st_ino);
	tree->recursive = true;
	watch_source_add(source, tree);
	while (tree->starting)
		watch_source_drive(source, true);
	tree->silent = false;
	assert_int_equal(renameat(p->fd, "new", p->fd, "tree/new"), 0);
	/* Each drive ends at the next event: in the midst of the look. */
	while (steps < 10) {
		watch_source_drive(source, true);
		steps += source->n_outputs > 0;
		drop_outputs(source);
	}
	assert_non_null(source->scan.tree);
	if (has_scouts())
		assert_non_null(source->scan.scout);
	watch_source_rest(source);
	drop_outputs(source);
	while (steps < 20) {
		watch_source_drive(source, true);
		steps += source->n_outputs > 0;
		drop_outputs(source);
	}
	assert_non_null(source->scan.tree);
	watch_source_remove(source, tree);
	while (watch_tree_collect(source, 1000))
		;
	assert_int_equal(count_watches(source->fd), 0);
	watch_source_free(source);
	watch_mounts_free(mounts);
	assert_int_equal(memory.used_bytes, 0);
	assert_int_equal(count_descriptors(), descriptors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, begin, end),
		cmocka_unit_test_setup_teardown(test_runs, begin, end),
		cmocka_unit_test_setup_teardown(test_interrupted, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
