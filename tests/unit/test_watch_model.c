/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several processes change a tree at random. A client that applies the events must end with the
 * true picture: names, types, contents, modes; also if the kernel's queue overflows.
 *
 * Environment: WATCH_SEEDS is the number of runs of each kind, WATCH_SEED the first seed,
 * WATCH_KIND the name of the only test to run, WATCH_TRACE prints the events.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "tests/unit/watch_model.h"
#include "watch/engine/memory.h"
#include "watch/engine/mounts.h"
#include "watch/engine/source.h"

#define PROCESSES 3
#define CHANGES	  150

#define QUEUE_LIMIT "/proc/sys/fs/inotify/max_queued_events"
#define QUEUE_LOCK  "/tmp/envd-watch-queue.lock"

struct run {
	char root[64];
	char outside[64];
	struct watch_memory memory;
	struct watch_mounts *mounts;
	struct watch_source *source;
	struct watch_tree *tree;
	struct picture picture;
	bool lenient;	      /* picture.ahead stays true */
	uint64_t ahead_bytes; /* when the source has applied these, the client is not ahead */
	size_t trace;	      /* events to print; 0: none */
};

/* One kind of run. */
struct kind {
	const char *name;
	bool recursive;
	bool on_loop;	     /* driven as by the daemon: on the loop if that is possible */
	bool lists;	     /* the client lists directories that it is told of */
	bool one_by_one;     /* a drive ends after each event */
	bool rests;	     /* the source rests in the middle of looks */
	const char *queued;  /* max_queued_events */
	size_t names_bytes;  /* of memory for the names of files; 0: as the daemon */
	bool may_look_again; /* there is too little memory to emit everything */
};

static void write_text(const char *path, const char *text)
{
	FD_AUTO int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fatal("%s: %s", path, strerror(errno));
}

/*
 * Makes a source with a short queue in the kernel. An instance takes the limit when it is made. The
 * limit is one for the machine, so a lock is held while it is set, as in tests/watch/conftest.py.
 */
static void new_source(struct run *run, const char *queued)
{
	FD_AUTO int lock = -1;
	char *before = NULL;
	size_t n;

	/* If the limit can't be set, nothing is lost, and everything else is tested. */
	if (queued && access(QUEUE_LIMIT, W_OK) < 0)
		queued = NULL;
	if (queued) {
		lock = open(QUEUE_LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (lock < 0 || flock(lock, LOCK_EX) < 0)
			fatal("%s: %s", QUEUE_LOCK, strerror(errno));
		if (fd_read_file(AT_FDCWD, QUEUE_LIMIT, 64, &before, &n) < 0)
			fatal("%s can't be read", QUEUE_LIMIT);
		write_text(QUEUE_LIMIT, queued);
	}
	run->source = watch_source_new(inotify_init1(IN_NONBLOCK | IN_CLOEXEC), &run->memory,
				       run->mounts);
	if (run->source->fd < 0)
		fatal("no inotify instance");
	if (queued)
		write_text(QUEUE_LIMIT, before);
	free(before);
}

static void take_outputs(struct run *run)
{
	struct watch_source *source = run->source;
	struct watch_output *output;
	size_t i;

	if (source->overflows > 0 || run->lenient)
		run->picture.ahead = true;
	for (i = 0; i < source->n_outputs; i++) {
		output = &source->outputs[i];
		if (run->trace)
			printf("  %s %s%s\n", event_type_name(output->event->type),
			       output->event->name, output->event->is_dir ? "/" : "");
		picture_apply(&run->picture, output);
	}
	source->n_outputs = 0;
	if (run->picture.looked) {
		run->picture.looked = false;
		run->ahead_bytes = watch_source_queued_bytes(source);
	}
	/* After an overflow an event may be older than what the client saw for itself. */
	if (watch_source_applied_bytes(source) >= run->ahead_bytes && !source->overflowed &&
	    !watch_source_is_looking(source) && source->overflows == 0 && !run->lenient)
		run->picture.ahead = false;
}

static enum watch_drive drive(struct run *run, const struct kind *kind)
{
	enum watch_drive result = watch_source_drive(run->source, !kind->on_loop);

	if (result == WATCH_DRIVE_WORK)
		result = watch_source_drive(run->source, true);
	if (kind->rests && run->source->scan.tree && run->source->read_bytes % 3 == 0)
		watch_scan_rest(run->source);
	take_outputs(run);
	return result;
}

/* Drives until there is nothing to do, now or later. */
static void drive_to_rest(struct run *run, const struct kind *kind)
{
	uint64_t until_ms = clock_monotonic_ms() + 20000;
	int64_t due_ms;

	while (clock_monotonic_ms() < until_ms) {
		if (drive(run, kind) != WATCH_DRIVE_IDLE)
			continue;
		due_ms = watch_source_due_ms(run->source, clock_monotonic_ms());
		if (due_ms < 0 && TAILQ_EMPTY(&run->source->look[WATCH_LOOK_QUIET]))
			return;
		poll(NULL, 0, (int)due_ms);
	}
	fatal("the source never rests: %zu polled", run->source->n_poll);
}

static void run_begin(struct run *run, const struct kind *kind, unsigned long seed)
{
	char base[] = "/tmp/envd-model-XXXXXX";
	struct stat st;
	pid_t pid;

	memset(run, 0, sizeof(*run));
	if (!mkdtemp(base))
		fatal("mkdtemp");
	snprintf(run->root, sizeof(run->root), "%s/in", base);
	snprintf(run->outside, sizeof(run->outside), "%s/out", base);
	if (mkdir(run->root, 0755) < 0 || mkdir(run->outside, 0755) < 0)
		fatal("mkdir");
	/* A file that is not remembered may have an event from before its directory was read. */
	run->lenient = kind->names_bytes != 0;
	run->trace = getenv("WATCH_TRACE") != NULL;
	/* The tree is not empty when the watch begins, and neither is the place outside. */
	pid = changes_start(run->root, run->outside, seed + 1000003, CHANGES, kind->lists);
	waitpid(pid, NULL, 0);
	pid = changes_start(run->outside, run->root, seed + 2000003, CHANGES / 2, kind->lists);
	waitpid(pid, NULL, 0);

	watch_memory_init(&run->memory);
	if (kind->names_bytes)
		run->memory.names_max_bytes = kind->names_bytes;
	run->mounts = watch_mounts_new();
	new_source(run, kind->queued);
	if (stat(run->root, &st) < 0)
		fatal("stat");
	run->tree = watch_tree_new(run->root, st.st_dev, st.st_ino);
	run->tree->recursive = kind->recursive;
	watch_source_add(run->source, run->tree);
	if (kind->one_by_one)
		run->source->drive_events = 1;
}

static void run_end(struct run *run)
{
	char command[200];

	watch_source_free(run->source);
	assert_int_equal(run->memory.used_bytes, 0);
	watch_mounts_free(run->mounts);
	picture_clear(&run->picture);
	snprintf(command, sizeof(command), "rm -rf %.*s", (int)(strlen(run->root) - 3), run->root);
	if (system(command) != 0)
		fatal("%s", command);
}

static void one_run(const struct kind *kind, unsigned long seed, unsigned long *losses)
{
	struct run run;
	pid_t pids[PROCESSES];
	unsigned i, left = PROCESSES;

	run_begin(&run, kind, seed);
	/*
	 * The first process is at work already when the watch begins. Not so if events get lost: a
	 * client that ignores "look again" must not have seen what came and went meanwhile.
	 */
	if (!kind->queued)
		pids[0] = changes_start(run.root, run.outside, seed * 10, CHANGES, kind->lists);
	while (run.tree->state == WATCH_TREE_STARTING)
		drive(&run, kind);
	assert_int_equal(run.tree->start_error, 0);
	watch_tree_set_state(run.tree, WATCH_TREE_LIVE);
	picture_init(&run.picture, run.root, kind->recursive);
	run.picture.came_and_went = kind->may_look_again;
	run.picture.lists = kind->lists;
	run.picture.blind = !kind->lists && !kind->may_look_again;
	picture_look(&run.picture, ".");
	for (i = kind->queued ? 0 : 1; i < PROCESSES; i++)
		pids[i] = changes_start(run.root, run.outside, seed * 10 + i, CHANGES, kind->lists);
	while (left > 0) {
		/* A reader that pauses loses events. */
		if (kind->queued)
			poll(NULL, 0, 3);
		if (drive(&run, kind) == WATCH_DRIVE_IDLE) {
			struct pollfd pfd = {.fd = run.source->fd, .events = POLLIN};

			poll(&pfd, 1, 1);
		}
		for (i = 0; i < PROCESSES; i++)
			if (pids[i] && waitpid(pids[i], NULL, WNOHANG) == pids[i]) {
				pids[i] = 0;
				left--;
			}
	}
	drive_to_rest(&run, kind);
	*losses += run.source->overflows;
	picture_matches(&run.picture);
	if (!kind->may_look_again && !kind->queued && run.picture.look_agains)
		snprintf(run.picture.error, sizeof(run.picture.error), "%zu times: look again",
			 run.picture.look_agains);
	if (run.picture.error[0])
		fail_msg("%s, seed %lu: %s (%s)", kind->name, seed, run.picture.error, run.root);
	run_end(&run);
}

static void many_runs(const struct kind *kind)
{
	const char *text = getenv("WATCH_SEEDS"), *first = getenv("WATCH_SEED");
	unsigned long seeds = text ? strtoul(text, NULL, 10) : 3, seed, losses = 0;
	unsigned long begin = first ? strtoul(first, NULL, 10) : 1;

	for (seed = begin; seed < begin + seeds; seed++)
		one_run(kind, seed, &losses);
	/* Otherwise overflows were not tested. */
	if (kind->queued && seeds >= 8 && access(QUEUE_LIMIT, W_OK) == 0)
		assert_true(losses > 0);
}

static void test_tree(void **state)
{
	many_runs(&(struct kind){.name = "tree", .recursive = true});
}

static void test_tree_on_loop(void **state)
{
	many_runs(&(struct kind){.name = "tree on the loop", .recursive = true, .on_loop = true});
}

static void test_tree_listed(void **state)
{
	many_runs(&(struct kind){
		.name = "tree, listed", .recursive = true, .lists = true, .one_by_one = true});
}

static void test_tree_listed_on_loop(void **state)
{
	many_runs(&(struct kind){.name = "tree, listed, on the loop",
				 .recursive = true,
				 .lists = true,
				 .one_by_one = true,
				 .on_loop = true});
}

static void test_tree_resting(void **state)
{
	many_runs(&(struct kind){.name = "tree, resting",
				 .recursive = true,
				 .lists = true,
				 .one_by_one = true,
				 .rests = true});
}

static void test_overflow_resting(void **state)
{
	many_runs(&(struct kind){
		.name = "overflow, resting", .recursive = true, .queued = "16", .rests = true});
}

static void test_directory(void **state)
{
	many_runs(&(struct kind){.name = "directory", .on_loop = true});
}

static void test_overflow(void **state)
{
	many_runs(&(struct kind){.name = "overflow", .recursive = true, .queued = "16"});
}

static void test_overflow_of_directory(void **state)
{
	many_runs(&(struct kind){.name = "overflow of a directory", .queued = "16"});
}

/* The client may have seen what came and went among the lost events. It looks again. */
static void test_overflow_listed(void **state)
{
	many_runs(&(struct kind){
		.name = "overflow, listed", .recursive = true, .lists = true, .queued = "16"});
}

/* Without memory for names, differences can't be known. The client looks again. */
static void test_overflow_unremembered(void **state)
{
	many_runs(&(struct kind){
		.name = "overflow unremembered",
		.recursive = true,
		.queued = "16",
		.names_bytes = 1,
		.may_look_again = true,
	});
}

/*
 * A directory is made, and the directory above it is renamed before the daemon looks. The CREATE is
 * sent all the same, the client looks there, and must be told of what disappears meanwhile.
 */
static void test_renamed_above(void **state)
{
	static const struct kind kind = {
		.name = "renamed above", .recursive = true, .lists = true, .on_loop = true};
	char old[96], new[96], path[128];
	struct run run;
	FD_AUTO int fd = -1;

	run_begin(&run, &kind, 1);
	snprintf(old, sizeof(old), "%s/old", run.root);
	snprintf(new, sizeof(new), "%s/new", run.root);
	assert_int_equal(mkdir(old, 0755), 0);
	while (run.tree->state == WATCH_TREE_STARTING)
		drive(&run, &kind);
	watch_tree_set_state(run.tree, WATCH_TREE_LIVE);
	picture_init(&run.picture, run.root, true);
	run.picture.lists = true;
	picture_look(&run.picture, ".");

	snprintf(path, sizeof(path), "%s/below", old);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/below/file", old);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(rename(old, new), 0);
	while (drive(&run, &kind) != WATCH_DRIVE_IDLE)
		;
	snprintf(path, sizeof(path), "%s/below/file", new);
	assert_int_equal(unlink(path), 0);
	while (drive(&run, &kind) != WATCH_DRIVE_IDLE)
		;
	/* Nothing is left for a poll. */
	assert_int_equal(run.source->n_poll, 0);
	drive_to_rest(&run, &kind);
	picture_matches(&run.picture);
	assert_string_equal(run.picture.error, "");
	run_end(&run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_tree_on_loop),
		cmocka_unit_test(test_tree_listed),
		cmocka_unit_test(test_tree_listed_on_loop),
		cmocka_unit_test(test_tree_resting),
		cmocka_unit_test(test_overflow_resting),
		cmocka_unit_test(test_directory),
		cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_overflow_of_directory),
		cmocka_unit_test(test_overflow_listed),
		cmocka_unit_test(test_overflow_unremembered),
		cmocka_unit_test(test_renamed_above),
	};

	/* The only test to run. */
	if (getenv("WATCH_KIND"))
		cmocka_set_test_filter(getenv("WATCH_KIND"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
