/* SPDX-License-Identifier: Apache-2.0 */
/* Walking through trees and removing them: order, depth, links, changes underneath. */
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

#include "base/arena.h"
#include "base/fd.h"
#include "base/mem.h"
#include "fs/remove.h"
#include "fs/walk.h"

static char dir[64];
static struct arena arena;

static int setup(void **state)
{
	strcpy(dir, "/tmp/envd-test-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	arena_clear(&arena);
	return system(command);
}

static char *in_dir(const char *name)
{
	return arena_printf(&arena, "%s/%s", dir, name);
}

static void make_dir(const char *name)
{
	assert_int_equal(mkdir(in_dir(name), 0755), 0);
}

static void make_file(const char *name)
{
	FD_AUTO int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
}

static bool exists(const char *name)
{
	struct stat st;

	return lstat(in_dir(name), &st) == 0;
}

/* A chain of directories `top`/d/d/d…, longer than any path may be, with a file in each. */
static void make_deep(const char *top, unsigned depth)
{
	FD_AUTO int fd = -1;

	make_dir(top);
	fd = open(in_dir(top), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (unsigned i = 0; i < depth; i++) {
		FD_AUTO int file = openat(fd, "z", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		int next;

		assert_true(file >= 0);
		assert_int_equal(mkdirat(fd, "directory", 0755), 0);
		next = openat(fd, "directory", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		fd_close(&fd);
		fd = next;
	}
}

static void begin(struct fs_walk *walk, const char *name)
{
	int fd = open(in_dir(name), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fs_walk_init(walk, fd), 0);
}

static bool is_dir(const struct fs_walk *walk)
{
	struct stat st;

	return fstatat(fs_walk_dirfd(walk), walk->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISDIR(st.st_mode);
}

/* All paths of a walk to max_depth, each with a space behind it. */
static char *walk_all(const char *name, size_t max_depth)
{
	struct fs_walk walk;
	enum fs_walk_event event;
	char *text = arena_strdup(&arena, "");

	begin(&walk, name);
	while ((event = fs_walk_next(&walk)) != FS_WALK_END) {
		assert_int_not_equal(event, FS_WALK_ERROR);
		if (event != FS_WALK_ENTRY)
			continue;
		text = arena_printf(&arena, "%s%s ", text, walk.relative);
		if (walk.depth < max_depth && is_dir(&walk))
			fs_walk_enter(&walk);
	}
	fs_walk_clear(&walk);
	return text;
}

static void test_walk_order(void **state)
{
	make_dir("order");
	make_file("order/b");
	make_dir("order/a");
	make_file("order/a/2");
	make_dir("order/a/1");
	make_file("order/a/1/x");
	make_file("order/a.txt"); /* behind a and all that is in it, though '.' < '/' */
	make_file("order/B");
	assert_int_equal(symlink("/", in_dir("order/link")), 0);
	assert_string_equal(walk_all("order", 1), "B a a.txt b link ");
	assert_string_equal(walk_all("order", 2), "B a a/1 a/2 a.txt b link ");
	assert_string_equal(walk_all("order", 99), "B a a/1 a/1/x a/2 a.txt b link ");
	make_dir("empty");
	assert_string_equal(walk_all("empty", 9), "");
}

static void test_walk_deep(void **state)
{
	struct fs_walk walk;
	enum fs_walk_event event;
	size_t files = 0, deepest = 0;

	make_deep("deep", 1000);
	begin(&walk, "deep");
	while ((event = fs_walk_next(&walk)) != FS_WALK_END) {
		assert_int_equal(event, FS_WALK_ENTRY);
		if (walk.depth > deepest)
			deepest = walk.depth;
		if (is_dir(&walk))
			assert_int_equal(fs_walk_enter(&walk), 0);
		else
			files++;
	}
	fs_walk_clear(&walk);
	assert_int_equal(files, 1000);
	assert_int_equal(deepest, 1000);
}

/* A directory is moved away while the walk is far below it, its descriptor closed long since. */
static void test_walk_moved(void **state)
{
	struct fs_walk walk;
	enum fs_walk_event event;
	size_t files = 0, i;
	bool moved = false;

	make_dir("moved");
	make_deep("moved/a", 3 * FS_DIRS_OPEN);
	make_file("moved/b");
	make_dir("elsewhere");
	begin(&walk, "moved");
	while ((event = fs_walk_next(&walk)) != FS_WALK_END) {
		assert_int_equal(event, FS_WALK_ENTRY);
		if (walk.depth == 3 * FS_DIRS_OPEN && !moved) {
			moved = true;
			assert_int_equal(rename(in_dir("moved/a/directory"), in_dir("elsewhere/d")),
					 0);
		}
		if (is_dir(&walk))
			fs_walk_enter(&walk);
		else
			files++;
	}
	fs_walk_clear(&walk);
	/* What was moved is found to its end by "..", and then the rest from the top. */
	assert_true(moved);
	assert_int_equal(files, 3 * FS_DIRS_OPEN + 1);

	/* The levels above are out of reach where the walk's own directory moves. */
	make_dir("moved2");
	make_deep("moved2/a", 3 * FS_DIRS_OPEN);
	make_file("moved2/b");
	begin(&walk, "moved2");
	files = 0;
	moved = false;
	while ((event = fs_walk_next(&walk)) != FS_WALK_END) {
		assert_int_equal(event, FS_WALK_ENTRY);
		if (walk.depth == 2 * FS_DIRS_OPEN && !moved && !is_dir(&walk)) {
			moved = true;
		} else if (walk.depth == 2 * FS_DIRS_OPEN && !moved) {
			char *path = in_dir("moved2/a");

			for (i = 0; i < 2 * FS_DIRS_OPEN - 30; i++)
				path = arena_printf(&arena, "%s/directory", path);
			assert_int_equal(rename(path, in_dir("elsewhere/e")), 0);
			moved = true;
		}
		if (is_dir(&walk))
			fs_walk_enter(&walk);
		else
			files++;
	}
	fs_walk_clear(&walk);
	assert_true(moved);
	assert_int_equal(files, 3 * FS_DIRS_OPEN + 1);
}

static void test_walk_vanishing(void **state)
{
	struct fs_walk walk;

	make_dir("vanish");
	make_dir("vanish/a");
	make_dir("vanish/b");
	make_file("vanish/b/x");
	begin(&walk, "vanish");
	assert_int_equal(fs_walk_next(&walk), FS_WALK_ENTRY);
	assert_int_equal(rmdir(in_dir("vanish/a")), 0);
	assert_int_equal(fs_walk_enter(&walk), -ENOENT);
	assert_int_equal(fs_walk_next(&walk), FS_WALK_ENTRY);
	assert_string_equal(walk.name, "b");
	/* A directory that becomes a link is not gone into. */
	assert_int_equal(rename(in_dir("vanish/b"), in_dir("vanish/c")), 0);
	assert_int_equal(symlink("c", in_dir("vanish/b")), 0);
	assert_true(fs_walk_enter(&walk) < 0);
	assert_int_equal(fs_walk_next(&walk), FS_WALK_END);
	assert_int_equal(fs_walk_next(&walk), FS_WALK_END);
	fs_walk_clear(&walk);
}

static void test_walk_large(void **state)
{
	struct fs_walk walk;
	enum fs_walk_event event;
	char name[300], last[300] = "";
	unsigned entries = 0, pauses = 0;

	make_dir("large");
	for (unsigned i = 0; i < 6000; i++) {
		snprintf(name, sizeof(name), "large/%0200u", i * 7919u % 6000u);
		make_file(name);
	}
	begin(&walk, "large");
	while ((event = fs_walk_next(&walk)) != FS_WALK_END) {
		if (event == FS_WALK_PAUSE) {
			pauses++;
			continue;
		}
		assert_true(strcmp(walk.name, last) > 0);
		strcpy(last, walk.name);
		entries++;
	}
	assert_int_equal(entries, 6000);
	assert_true(pauses >= 1);
	assert_true(walk.memory_bytes > 6000 * 200);
	fs_walk_clear(&walk);
}

static int remove_path(const char *path, uint64_t step_ms)
{
	struct fs_remove remove;
	int r;

	fs_remove_begin(&remove, path);
	while (!fs_remove_step(&remove, step_ms))
		;
	r = remove.error;
	fs_remove_clear(&remove);
	return r;
}

static void test_remove_simple(void **state)
{
	make_dir("r");
	make_file("r/file");
	make_dir("r/empty");
	make_dir("r/target");
	make_file("r/target/kept");
	assert_int_equal(symlink("target", in_dir("r/link")), 0);
	assert_int_equal(symlink("target", in_dir("r/link2")), 0);

	assert_int_equal(remove_path(in_dir("r/none"), 0), 0);
	assert_int_equal(remove_path(in_dir("r/none/below"), 0), 0);
	assert_int_equal(remove_path(in_dir("r/file/below"), 0), -ENOTDIR);
	assert_int_equal(remove_path(in_dir("r/file///"), 0), 0);
	assert_false(exists("r/file"));
	assert_int_equal(remove_path(in_dir("r/empty"), 0), 0);
	assert_false(exists("r/empty"));
	assert_int_equal(remove_path(in_dir("r/link"), 0), 0);
	assert_false(exists("r/link"));
	assert_int_equal(remove_path(in_dir("r/link2/"), 0), 0);
	assert_false(exists("r/link2"));
	assert_true(exists("r/target/kept"));

	assert_int_equal(remove_path(in_dir("r/."), 0), -EINVAL);
	assert_int_equal(remove_path(in_dir("r/target/.."), 0), -EINVAL);
	assert_int_equal(remove_path("/", 0), -EINVAL);
	assert_int_equal(remove_path("//", 0), -EINVAL);
	make_dir("r/...");
	assert_int_equal(remove_path(in_dir("r/..."), 0), 0);
	assert_true(exists("r/target/kept"));
}

static void test_remove_tree(void **state)
{
	char name[300];

	make_dir("outside");
	make_file("outside/kept");
	make_dir("tree");
	for (unsigned i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "tree/d%u", i);
		make_dir(name);
		for (unsigned k = 0; k < 60; k++) {
			snprintf(name, sizeof(name), "tree/d%u/%0150u", i, k);
			make_file(name);
		}
		snprintf(name, sizeof(name), "tree/d%u/sub", i);
		make_dir(name);
		snprintf(name, sizeof(name), "tree/d%u/sub/link", i);
		assert_int_equal(symlink("../../../outside", in_dir(name)), 0);
	}
	assert_int_equal(remove_path(in_dir("tree"), 0), 0);
	assert_false(exists("tree"));
	assert_true(exists("outside/kept"));

	make_deep("chain", 1500);
	assert_int_equal(remove_path(in_dir("chain"), 0), 0);
	assert_false(exists("chain"));
}

/* What can't be removed stays, with the first reason; everything beside it goes. */
static void test_remove_refused(void **state)
{
	make_dir("mixed");
	make_dir("mixed/a");
	make_file("mixed/a/x");
	make_dir("mixed/b");
	make_file("mixed/b/y");
	assert_int_equal(remove_path("/proc/1", 0), -EPERM);
	assert_int_equal(system(arena_printf(&arena, "mount -t tmpfs none %s", in_dir("mixed/a"))),
			 0);
	make_file("mixed/a/in-mount");
	assert_int_equal(remove_path(in_dir("mixed"), 0), -EBUSY);
	assert_true(exists("mixed/a"));
	assert_false(exists("mixed/a/in-mount"));
	assert_false(exists("mixed/b"));
	assert_int_equal(system(arena_printf(&arena, "umount %s", in_dir("mixed/a"))), 0);
	assert_int_equal(remove_path(in_dir("mixed"), 0), 0);
}

/* Files that keep appearing: the removal ends, and what it says is true. */
static void test_remove_refilled(void **state)
{
	struct fs_remove remove;
	unsigned steps = 0;
	char name[64];

	make_dir("refilled");
	for (unsigned i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "refilled/%u", i);
		make_file(name);
	}
	fs_remove_begin(&remove, in_dir("refilled"));
	do {
		for (unsigned i = 0; i < 10; i++) {
			snprintf(name, sizeof(name), "refilled/%u-%u", steps, i);
			make_file(name);
		}
		steps++;
	} while (!fs_remove_step(&remove, 0) && steps < 10000);
	assert_true(steps < 10000);
	assert_true(steps > 1);
	assert_int_equal(remove.error, exists("refilled") ? -ENOTEMPTY : 0);
	fs_remove_clear(&remove);
	assert_int_equal(remove_path(in_dir("refilled"), 1000), 0);
}

static void test_remove_moved(void **state)
{
	struct fs_remove remove;

	make_dir("m");
	make_deep("m/a", 3 * FS_DIRS_OPEN);
	make_dir("m-out");
	make_file("m-out/kept");
	fs_remove_begin(&remove, in_dir("m"));
	while (remove.dirs.n < 2 * FS_DIRS_OPEN)
		assert_false(fs_remove_step(&remove, 0));
	assert_int_equal(rename(in_dir("m/a/directory"), in_dir("m-out/d")), 0);
	while (!fs_remove_step(&remove, 0))
		;
	/* The part that was moved is emptied, for it was in the tree when it was gone into. */
	fs_remove_clear(&remove);
	assert_true(exists("m-out/kept"));
	assert_int_equal(remove_path(in_dir("m"), 0), 0);
	assert_false(exists("m"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walk_order),	cmocka_unit_test(test_walk_deep),
		cmocka_unit_test(test_walk_moved),	cmocka_unit_test(test_walk_vanishing),
		cmocka_unit_test(test_walk_large),	cmocka_unit_test(test_remove_simple),
		cmocka_unit_test(test_remove_tree),	cmocka_unit_test(test_remove_refused),
		cmocka_unit_test(test_remove_refilled), cmocka_unit_test(test_remove_moved),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
