/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a watch that stand alone: the kernel's records, sets of names, the map of watch
 * descriptors, queues, patterns, what X-Envd-Watch says, kinds of file systems.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/budget.h"
#include "base/mem.h"
#include "tests/unit/guard.h"
#include "tests/unit/watch_model.h"
#include "watch/engine/event.h"
#include "watch/engine/glob.h"
#include "watch/engine/inotify.h"
#include "watch/engine/memory.h"
#include "watch/engine/mounts.h"
#include "watch/engine/names.h"
#include "watch/engine/tree.h"
#include "watch/engine/wdmap.h"
#include "watch/options.h"
#include "watch/queue.h"

/* ---- the kernel's records ---- */

static void test_decode(void **state)
{
	static const struct {
		const char *what;
		uint32_t len;	   /* as the record says */
		const char *name;  /* so many bytes of it follow: */
		size_t name_bytes; /* NULs included */
		ssize_t expected;
		const char *text;
	} cases[] = {
		{"no name", 0, "", 0, 16, ""},
		{"a padded name", 16, "abc\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, 32, "abc"},
		{"a name that fills its room", 4, "abc\0", 4, 20, "abc"},
		{"an empty name", 4, "\0\0\0\0", 4, 20, ""},
		{"no NUL", 4, "abcd", 4, -EBADMSG, NULL},
		{"more than there is", 8, "abc\0", 4, -EBADMSG, NULL},
		{"far more", UINT32_MAX, "abc\0", 4, -EBADMSG, NULL},
	};
	struct inotify_record record;
	struct inotify_event event;
	struct guard guard;
	char raw[64], *p;
	size_t i, n;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		event = (struct inotify_event){
			.wd = 7, .mask = IN_CREATE, .cookie = 9, .len = cases[i].len};
		memcpy(raw, &event, sizeof(event));
		memcpy(raw + sizeof(event), cases[i].name, cases[i].name_bytes);
		n = sizeof(event) + cases[i].name_bytes;
		p = guard_put(&guard, raw, n);
		assert_int_equal(inotify_decode(p, n, &record), cases[i].expected);
		if (cases[i].text) {
			assert_string_equal(record.name, cases[i].text);
			assert_int_equal(record.name_bytes, strlen(cases[i].text));
			assert_int_equal(record.wd, 7);
			assert_int_equal(record.mask, IN_CREATE);
			assert_int_equal(record.cookie, 9);
		}
		guard_clear(&guard);
	}
	/* Every piece of a record. */
	for (n = 0; n < sizeof(event); n++) {
		p = guard_put(&guard, raw, n);
		assert_int_equal(inotify_decode(p, n, &record), n ? -EBADMSG : 0);
		guard_clear(&guard);
	}
}

/* ---- names ---- */

static void check_names(const struct watch_names *names, const bool *there, unsigned n)
{
	char name[32];
	uint32_t at;
	unsigned i, count = 0;

	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "name-%u", i);
		at = watch_names_find(names, name, strlen(name));
		assert_int_equal(at != WATCH_NAME_NONE, there[i]);
		if (!there[i])
			continue;
		count++;
		assert_string_equal(watch_names_text(names, at), name);
		assert_int_equal(watch_names_is_dir(names, at), i % 3 == 0);
		if (i % 3 == 0)
			assert_ptr_equal(watch_names_node(names, at), &there[i]);
	}
	assert_int_equal(names->count, count);
	for (at = watch_names_from(names, 0); at != WATCH_NAME_NONE;
	     at = watch_names_next(names, at))
		count--;
	assert_int_equal(count, 0);
}

/* Adds and removes at random; from the linear to the indexed form and back. */
static void test_names(void **state)
{
	struct watch_memory memory;
	struct watch_names names = {0};
	bool there[300] = {false};
	unsigned i, round, random = 1;
	char name[32];
	uint32_t at;

	watch_memory_init(&memory);
	for (round = 0; round < 4000; round++) {
		random = random * 1103515245u + 12345u;
		/* Fewer and fewer names in the second half. */
		i = (random >> 8) % (round < 2000 ? 300 : 300 - (round - 2000) / 7);
		snprintf(name, sizeof(name), "name-%u", i);
		at = watch_names_find(&names, name, strlen(name));
		if (there[i]) {
			watch_names_remove(&names, at);
		} else {
			at = watch_names_add(&names, &memory, SIZE_MAX / 2, name, strlen(name),
					     i % 3 == 0);
			if (i % 3 == 0)
				watch_names_set_node(&names, at, (void *)&there[i]);
		}
		there[i] = !there[i];
		if (watch_names_wasteful(&names))
			watch_names_compact(&names, &memory);
		if (round % 100 == 0)
			check_names(&names, there, ARRAY_LEN(there));
	}
	check_names(&names, there, ARRAY_LEN(there));
	watch_names_clear(&names, &memory);
	assert_int_equal(memory.used_bytes, 0);
}

static void test_names_bounded(void **state)
{
	char longest[WATCH_NAME_MAX_BYTES + 1];
	struct watch_names names = {0};
	struct watch_memory memory;
	char name[32];
	unsigned i;

	watch_memory_init(&memory);
	memset(longest, 'x', sizeof(longest));
	assert_int_equal(
		watch_names_add(&names, &memory, SIZE_MAX / 2, longest, sizeof(longest), false),
		WATCH_NAME_NONE);
	assert_int_not_equal(watch_names_add(&names, &memory, SIZE_MAX / 2, longest,
					     WATCH_NAME_MAX_BYTES, false),
			     WATCH_NAME_NONE);
	for (i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "%u", i);
		if (watch_names_add(&names, &memory, 8192, name, strlen(name), false) ==
		    WATCH_NAME_NONE)
			break;
	}
	assert_in_range(i, 100, 1000);
	assert_true(memory.used_bytes <= 8192);
	/* What found room is still there. */
	assert_int_not_equal(watch_names_find(&names, "0", 1), WATCH_NAME_NONE);
	watch_names_clear(&names, &memory);
	assert_int_equal(memory.used_bytes, 0);
}

/* ---- watch descriptors ---- */

static void test_wdmap(void **state)
{
	static struct watch_node nodes[400];
	struct watch_wdmap map = {0};
	unsigned i, random = 7;
	int wd;

	/* Two nodes for every descriptor. */
	for (i = 0; i < ARRAY_LEN(nodes); i++)
		watch_wdmap_add(&map, 1 + (int)i / 2 * 3, &nodes[i]);
	assert_int_equal(map.n_nodes, ARRAY_LEN(nodes));
	for (i = 0; i < 4000; i++) {
		random = random * 1103515245u + 12345u;
		unsigned k = (random >> 8) % ARRAY_LEN(nodes);
		struct watch_node *other = &nodes[k ^ 1];

		wd = 1 + (int)k / 2 * 3;
		if (nodes[k].wd < 0) {
			watch_wdmap_add(&map, wd, &nodes[k]);
			assert_ptr_equal(watch_wdmap_find(&map, wd), &nodes[k]);
		} else {
			assert_int_equal(watch_wdmap_remove(&map, &nodes[k]), other->wd < 0);
			assert_int_equal(nodes[k].wd, -1);
			assert_ptr_equal(watch_wdmap_find(&map, wd), other->wd < 0 ? NULL : other);
		}
		assert_null(watch_wdmap_find(&map, wd + 1));
	}
	watch_wdmap_clear(&map);
	assert_null(watch_wdmap_find(&map, 1));
}

/* ---- queues ---- */

static void push(struct watch_queue *queue, enum watch_event_type type, const char *name)
{
	struct watch_event *event = watch_event_new(type, name, strlen(name));

	watch_queue_push(queue, event);
	watch_event_unref(event);
}

/* The waiting events: "CREATE a, WRITE a". */
static const char *contents(const struct watch_queue *queue)
{
	static char text[512];
	size_t n = 0;
	uint32_t i;

	text[0] = '\0';
	for (i = 0; i < queue->n; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %s", i ? ", " : "",
				      event_type_name(watch_queue_at(queue, i)->type),
				      watch_queue_at(queue, i)->name);
	return text;
}

static void test_queue_repeats(void **state)
{
	struct budget budget;
	struct watch_queue queue = {0};

	budget_init(&budget);
	watch_queue_init(&queue, &budget);
	push(&queue, WATCH_CREATE, "a");
	push(&queue, WATCH_WRITE, "a");
	push(&queue, WATCH_WRITE, "b");
	push(&queue, WATCH_WRITE, "a");
	push(&queue, WATCH_CHMOD, "a");
	push(&queue, WATCH_WRITE, "a");
	push(&queue, WATCH_WRITE, "a");
	push(&queue, WATCH_CREATE, "c");
	push(&queue, WATCH_CREATE, "c");
	assert_string_equal(contents(&queue), "CREATE a, WRITE a, WRITE b, CHMOD a, WRITE a, "
					      "CREATE c, CREATE c");
	/* What was taken out is no repeat. */
	while (queue.n > 0)
		watch_queue_pop(&queue);
	push(&queue, WATCH_WRITE, "a");
	watch_queue_pop(&queue);
	push(&queue, WATCH_WRITE, "a");
	assert_string_equal(contents(&queue), "WRITE a");
	watch_queue_clear(&queue);
	/* More names than the table of recent events has places: none replaces another. */
	for (int i = 0; i < 2 * WATCH_QUEUE_RECENT; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%03d", i);
		push(&queue, WATCH_WRITE, name);
	}
	assert_int_equal(queue.n, 2 * WATCH_QUEUE_RECENT);
	watch_queue_clear(&queue);
	assert_int_equal(budget.used[BUDGET_BYTES], 0);
}

static void test_queue_bounded(void **state)
{
	struct budget budget;
	struct watch_queue queue = {0};
	char name[32];
	unsigned i;

	budget_init(&budget);
	watch_queue_init(&queue, &budget);
	for (i = 0; i < WATCH_QUEUE_MAX_EVENTS + 100; i++) {
		snprintf(name, sizeof(name), "file-%u", i);
		push(&queue, WATCH_CREATE, name);
	}
	assert_int_equal(queue.n, WATCH_QUEUE_MAX_EVENTS);
	assert_true(queue.dropped);
	assert_int_equal(queue.bytes + queue.share.used, budget.used[BUDGET_BYTES]);
	/* Until it was told there is nothing new, or that would seem older than the loss. */
	for (i = 0; queue.n > 0; i++) {
		snprintf(name, sizeof(name), "file-%u", i);
		assert_string_equal(watch_queue_first(&queue)->name, name);
		watch_queue_pop(&queue);
	}
	push(&queue, WATCH_CREATE, "x");
	assert_int_equal(queue.n, 0);
	watch_queue_recovered(&queue);
	push(&queue, WATCH_CREATE, "x");
	assert_int_equal(queue.n, 1);
	watch_queue_clear(&queue);

	/* The daemon's budget counts too. */
	budget.limit[BUDGET_BYTES] = 1000;
	for (i = 0; i < 100; i++)
		push(&queue, WATCH_CREATE, "y");
	assert_in_range(queue.n, 1, 4);
	assert_true(queue.dropped);
	watch_queue_clear(&queue);
	assert_int_equal(budget.used[BUDGET_BYTES], 0);
}

/* The bytes of one queue have a limit of their own: here long names reach it before the class's. */
static void test_queue_bounded_in_bytes(void **state)
{
	struct budget budget;
	struct watch_queue queue = {0};
	char name[1024];
	unsigned i;

	budget_init(&budget);
	watch_queue_init(&queue, &budget);
	for (i = 0; !queue.dropped; i++) {
		snprintf(name, sizeof(name), "%01000u", i);
		push(&queue, WATCH_CREATE, name);
	}
	assert_in_range(queue.bytes, WATCH_QUEUE_MAX_BYTES - 2 * sizeof(name),
			WATCH_QUEUE_MAX_BYTES);
	watch_queue_clear(&queue);
	assert_int_equal(budget.used[BUDGET_BYTES], 0);
}

/*
 * Two hundred pollers that nobody asked held all the memory for events, and nobody else was told
 * anything. An event in several queues is charged once, and a queue that comes late has a little.
 */
static void test_queue_beside_full_ones(void **state)
{
	struct watch_queue first, second, late;
	struct watch_event *event;
	struct budget budget;
	char name[32];
	unsigned i;

	budget_init(&budget);
	budget.classes[BUDGET_CLASS_WATCH].limit = 64 * 1024;
	watch_queue_init(&first, &budget);
	watch_queue_init(&second, &budget);
	watch_queue_init(&late, &budget);
	for (i = 0; !first.dropped && !second.dropped; i++) {
		snprintf(name, sizeof(name), "file-%u", i);
		event = watch_event_new(WATCH_CREATE, name, strlen(name));
		watch_queue_push(&first, event);
		watch_queue_push(&second, event);
		watch_event_unref(event);
	}
	assert_in_range(first.n, 100, 1000);
	assert_in_range(first.n - second.n, 0, 1);
	assert_int_equal(budget.used[BUDGET_BYTES],
			 first.bytes + first.share.used + second.share.used);
	push(&late, WATCH_CREATE, "x");
	assert_string_equal(contents(&late), "CREATE x");
	watch_queue_clear(&first);
	watch_queue_clear(&second);
	watch_queue_clear(&late);
	assert_int_equal(budget.used[BUDGET_BYTES], 0);
}

/* ---- patterns ---- */

static void test_glob(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool matches;
	} cases[] = {
		{"", "", true},
		{"", "a", false},
		{"a", "a", true},
		{"a", "b", false},
		{"*", "", true},
		{"*", "abc", true},
		{"*", "a/c", false},
		{"*.c", "x.c", true},
		{"*.c", ".c", true},
		{"*.c", "x.cc", false},
		{"a*b*c", "aXbXbc", true},
		{"a*b*c", "aXbXb", false},
		{"?", "x", true},
		{"?", "/", false},
		{"?", "", false},
		{"[a-c]x", "bx", true},
		{"[a-c]x", "dx", false},
		{"[!a-c]x", "dx", true},
		{"[^a-c]x", "bx", false},
		{"[]]", "]", true},
		{"[a-]", "-", true},
		{"[", "[", true},
		{"[a", "[a", true},
		{"[!/]", "/", false},
		{"\\*", "*", true},
		{"\\*", "x", false},
		{"**", "a/b/c", true},
		{"**/c", "c", true},
		{"**/c", "a/b/c", true},
		{"**/c", "a/bc", false},
		{"a/**", "a/b/c", true},
		{"a/**/c", "a/c", true},
		{"a/**/c", "a/x/y/c", true},
		{"a/**/c", "a/x/yc", false},
		{"src/*.c", "src/x.c", true},
		{"src/*.c", "src/a/x.c", false},
		{"src/**/*.c", "src/a/b/x.c", true},
		{"**/a/*/b", "a/a/x/b", true},
	};
	char deep[2001], pattern[64] = "";
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++)
		if (watch_glob_match(cases[i].pattern, cases[i].text) != cases[i].matches)
			fail_msg("'%s' and '%s'", cases[i].pattern, cases[i].text);
	/*
	 * Patterns with many stars took 0.4 s an event, on the loop. By trial and error this would
	 * take for ever.
	 */
	memset(deep, 'a', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	for (i = 0; i < 15; i++)
		strcat(pattern, "a*");
	strcat(pattern, "b");
	assert_false(watch_glob_match(pattern, deep));
	assert_false(watch_glob_match("**a**a**a**a**a**a**a**a**a**a**a**a**a**ab", deep));
	assert_false(watch_glob_match("**/*a*/**/*a*/**/*a*/**/b", deep));
}

/* ---- X-Envd-Watch ---- */

static void test_options(void **state)
{
	static const struct {
		const char *text;
		int result;
		size_t ignored, only;
	} cases[] = {
		{NULL, 0, 0, 0},
		{"", 0, 0, 0},
		{" , ,", 0, 0, 0},
		{"ignore=.git,ignore=node_modules", 0, 2, 0},
		{" only=src/**/*.c ,\tignore=x ", 0, 1, 1},
		{"ignore", -1, 0, 0},
		{"ignore=", -1, 0, 0},
		{"ignore=a/b", -1, 0, 0},
		{"Only=a", -1, 0, 0},
		{"pairs", -1, 0, 0},
		{"debounce=1", -1, 0, 0},
		{"unknown", -1, 0, 0},
	};
	struct arena arena = {0};
	struct watch_options options;
	struct error err;
	char text[2000] = "";
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		if (watch_options_parse(cases[i].text, &arena, &options, &err) != cases[i].result)
			fail_msg("'%s'", cases[i].text ? cases[i].text : "(none)");
		if (cases[i].result < 0) {
			assert_int_equal(err.code, ERROR_INVALID_ARGUMENT);
			continue;
		}
		assert_int_equal(options.ignored.n, cases[i].ignored);
		assert_int_equal(options.only.n, cases[i].only);
	}
	watch_options_parse("ignore=.git, only=a=b", &arena, &options, &err);
	assert_string_equal(options.ignored.text[0], ".git");
	assert_string_equal(options.only.text[0], "a=b");
	for (i = 0; i < WATCH_PATTERNS_MAX; i++)
		strcat(text, "ignore=a,");
	assert_int_equal(watch_options_parse(text, &arena, &options, &err), 0);
	strcat(text, "ignore=a");
	assert_int_equal(watch_options_parse(text, &arena, &options, &err), -1);
	arena_clear(&arena);
}

/* ---- file systems ---- */

static void test_mount_kind(void **state)
{
	static const struct {
		const char *type;
		enum watch_mount_kind kind;
	} cases[] = {
		{"ext4", WATCH_MOUNT_LOCAL},	  {"tmpfs", WATCH_MOUNT_LOCAL},
		{"overlay", WATCH_MOUNT_LOCAL},	  {"nfs", WATCH_MOUNT_NETWORK},
		{"nfs4", WATCH_MOUNT_NETWORK},	  {"cifs", WATCH_MOUNT_NETWORK},
		{"fuse", WATCH_MOUNT_NETWORK},	  {"fuse.sshfs", WATCH_MOUNT_NETWORK},
		{"fuseblk", WATCH_MOUNT_NETWORK}, {"fusectl", WATCH_MOUNT_KERNEL},
		{"proc", WATCH_MOUNT_KERNEL},	  {"cgroup2", WATCH_MOUNT_KERNEL},
		{"nfsd", WATCH_MOUNT_LOCAL},	  {"", WATCH_MOUNT_LOCAL},
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++)
		if (watch_mount_kind(cases[i].type) != cases[i].kind)
			fail_msg("%s", cases[i].type);
}

static void test_mounts(void **state)
{
	struct watch_mounts *mounts = watch_mounts_new();

	assert_true(watch_mounts_below(mounts, "/"));
	assert_int_equal(watch_mounts_at(mounts, "/proc"), WATCH_MOUNT_KERNEL);
	assert_int_equal(watch_mounts_at(mounts, "/proc/self/fd"), WATCH_MOUNT_NONE);
	assert_int_equal(watch_mounts_of(mounts, "/proc/self/fd"), WATCH_MOUNT_KERNEL);
	assert_int_equal(watch_mounts_of(mounts, "/proc"), WATCH_MOUNT_KERNEL);
	assert_int_not_equal(watch_mounts_of(mounts, "/"), WATCH_MOUNT_KERNEL);
	assert_int_not_equal(watch_mounts_of(mounts, "/process"), WATCH_MOUNT_KERNEL);
	assert_false(watch_mounts_below(mounts, "/proc/self/fd"));
	watch_mounts_free(mounts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_names_bounded),
		cmocka_unit_test(test_wdmap),
		cmocka_unit_test(test_queue_repeats),
		cmocka_unit_test(test_queue_bounded),
		cmocka_unit_test(test_queue_bounded_in_bytes),
		cmocka_unit_test(test_queue_beside_full_ones),
		cmocka_unit_test(test_glob),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_mount_kind),
		cmocka_unit_test(test_mounts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
