/* SPDX-License-Identifier: Apache-2.0 */
/* The walks of the freezer, on a hierarchy of ordinary files. On the kernel's: tests/cgroup. */
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

#include "base/mem.h"
#include "envd/control/freeze_tree.h"
#include "tests/unit/cgroup_tree.h"

static void live_in(const char *path)
{
	char pids[64];

	snprintf(pids, sizeof(pids), "1\n%d\n99999\n", (int)getpid());
	tree_put(path, "cgroup.procs", pids);
}

/* The tree as a daemon sees it whose /proc/self/cgroup has this text. */
static void look(struct freeze_tree *tree, const char *proc_self_cgroup)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/self", tree_top);
	tree_put(".", "self", proc_self_cgroup);
	freeze_tree_init(tree, tree_root_fd, path);
}

static void assert_paths(const struct path_list *list, const char *expected)
{
	char text[2048] = "";
	size_t i;

	for (i = 0; i < list->n; i++) {
		strcat(text, i ? " " : "");
		strcat(text, list->paths[i]);
	}
	assert_string_equal(text, expected);
}

static void test_where_the_daemon_is(void **state)
{
	static const struct {
		const char *name, *place, *text, *chain;
	} cases[] = {
		{"in a service", "system.slice/envd.service", "0::/system.slice/envd.service\n",
		 " system.slice system.slice/envd.service"},
		{"among lines of cgroup v1", "a", "9:name=systemd:/b\n0::/a\n", " a"},
		{"in the root", ".", "0::/\n", ""},
		{"the hierarchy is a part", "a/b", "0::/outer/a/b\n", " a a/b"},
		{"a namespace's", "a", "0::/../a\n", " a"},
		{"elsewhere", NULL, "0::/other\n", ""},
		{"no cgroup2", NULL, "9:name=systemd:/b\n", ""},
		{"nothing", NULL, "", ""},
	};
	struct freeze_tree tree;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		print_message("%s\n", cases[i].name);
		tree_begin();
		if (cases[i].place && cases[i].place[0] != '.')
			tree_make(cases[i].place);
		if (cases[i].place)
			live_in(cases[i].place);
		look(&tree, cases[i].text);
		assert_paths(&tree.chain, cases[i].chain);
		freeze_tree_clear(&tree);
		tree_end();
	}
}

/* A file that can't be read does not say that the daemon is elsewhere. */
static void test_where_the_daemon_is_can_not_be_read(void **state)
{
	struct freeze_tree tree;
	char path[128];

	tree_begin();
	tree_make("agent");
	snprintf(path, sizeof(path), "%s/self", tree_top);
	tree_put(".", "self", "0::/agent\n");
	assert_int_equal(unlinkat(tree_root_fd, "agent/cgroup.procs", 0), 0);
	assert_int_equal(mkdirat(tree_root_fd, "agent/cgroup.procs", 0755), 0);
	assert_int_equal(freeze_tree_init(&tree, tree_root_fd, path), -EISDIR);
	assert_false(tree.located);
	freeze_tree_clear(&tree);
	assert_int_equal(freeze_tree_init(&tree, tree_root_fd, "/none"), -ENOENT);
	freeze_tree_clear(&tree);
	tree_end();
}

static void test_what_is_needed(void **state)
{
	static const struct {
		const char *path;
		bool needed;
	} cases[] = {
		{"init.scope", true},
		{"init.scope/below", true},
		{"init.scope2", false},
		{"a/init.scope", false},
		{"system.slice", false},
		{"system.slice/systemd-journald.service", true},
		{"system.slice/systemd-journald.socket", false},
		{"system.slice/rpcbind.socket", true},
		{"socats", true},
		{"user", false},
		{"", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (freeze_tree_is_needed(cases[i].path) != cases[i].needed)
			fail_msg("%s", cases[i].path);
}

static void sweep_all(struct freeze_tree *tree, struct freeze_sweep *sweep, unsigned max)
{
	sweep->hierarchy = true;
	sweep->max_visits = max;
	freeze_tree_sweep(tree, sweep);
}

static void test_the_hierarchy(void **state)
{
	struct path_list guest = {0};
	struct freeze_sweep sweep = {.guest = &guest};
	struct freeze_tree tree;

	tree_begin();
	tree_make("init.scope");
	tree_make("system.slice/envd.service");
	tree_make("system.slice/systemd-journald.service/below");
	tree_make("system.slice/nginx.service/worker");
	tree_make("docker/a/b");
	live_in("system.slice/envd.service");
	look(&tree, "0::/system.slice/envd.service\n");
	sweep_all(&tree, &sweep, FREEZE_DEFAULT_CGROUPS);
	assert_paths(&sweep.targets, "user ptys docker system.slice/nginx.service");
	/* The root's six, and system.slice's three. */
	assert_int_equal(sweep.visited, 9);
	assert_int_equal(sweep.allowlisted, 3);
	assert_int_equal(sweep.failed, 0);
	assert_false(sweep.truncated);
	assert_int_equal(tree_asked("docker"), 1);
	assert_int_equal(tree_asked("docker/a"), 0);
	assert_int_equal(tree_asked("user"), 1);
	assert_int_equal(tree_asked("user/p1"), 0);
	assert_int_equal(tree_asked("init.scope"), 0);
	assert_int_equal(tree_asked("system.slice"), 0);
	assert_int_equal(tree_asked("system.slice/envd.service"), 0);
	path_list_clear(&sweep.targets);
	freeze_tree_clear(&tree);
	tree_end();
}

static void test_the_groups_come_before_the_bound(void **state)
{
	struct path_list guest = {0};
	struct freeze_sweep sweep = {.guest = &guest};
	struct freeze_tree tree;

	tree_begin();
	tree_make("a");
	tree_make("b");
	tree_make("c");
	look(&tree, "");
	sweep_all(&tree, &sweep, 2);
	assert_paths(&sweep.targets, "user ptys a b");
	assert_int_equal(sweep.visited, 2);
	assert_true(sweep.truncated);
	path_list_clear(&sweep.targets);
	freeze_tree_clear(&tree);
	tree_end();
}

static void test_what_the_guest_had_frozen(void **state)
{
	struct path_list guest = {0};
	struct freeze_sweep sweep = {.guest = &guest, .adopt = true};
	struct freeze_thaw thaw = {.guest = &guest, .discover = true};
	struct freeze_tree tree;
	bool truncated;

	tree_begin();
	tree_make("docker/paused/below");
	tree_make("docker/running");
	tree_make("later");
	tree_make("init.scope");
	tree_put("docker/paused", "cgroup.freeze", "1\n");
	/* Ours, by mistake: not the guest's. And a process' own. */
	tree_put("init.scope", "cgroup.freeze", "1\n");
	tree_put("user/p1", "cgroup.freeze", "1\n");
	look(&tree, "");
	assert_int_equal(freeze_tree_scan(&tree, &guest, &truncated), 0);
	assert_false(truncated);
	assert_paths(&guest, "docker/paused");
	/* Frozen by the guest between the two. */
	tree_put("later", "cgroup.freeze", "1\n");
	sweep_all(&tree, &sweep, FREEZE_DEFAULT_CGROUPS);
	assert_paths(&sweep.targets, "user ptys docker");
	assert_paths(&guest, "docker/paused later");
	freeze_tree_thaw(&tree, &thaw);
	assert_int_equal(thaw.failed, 0);
	assert_int_equal(thaw.preserved, 2);
	assert_int_equal(tree_asked("docker"), 0);
	assert_int_equal(tree_asked("docker/paused"), 1);
	assert_int_equal(tree_asked("later"), 1);
	assert_int_equal(tree_asked("init.scope"), 0);
	assert_int_equal(tree_asked("user"), 0);
	assert_int_equal(tree_asked("user/p1"), 1);
	path_list_clear(&sweep.targets);
	path_list_clear(&guest);
	freeze_tree_clear(&tree);
	tree_end();
}

static void test_what_fails(void **state)
{
	struct path_list guest = {0};
	struct freeze_sweep sweep = {.guest = &guest};
	struct freeze_thaw thaw = {.guest = &guest, .discover = true};
	struct freeze_tree tree;
	bool truncated;

	tree_begin();
	tree_make("threaded");
	tree_make("gone");
	assert_int_equal(unlinkat(tree_root_fd, "threaded/cgroup.freeze", 0), 0);
	assert_int_equal(mkdirat(tree_root_fd, "threaded/cgroup.freeze", 0755), 0);
	assert_int_equal(unlinkat(tree_root_fd, "gone/cgroup.freeze", 0), 0);
	look(&tree, "");
	assert_int_equal(freeze_tree_scan(&tree, &guest, &truncated), 1);
	sweep_all(&tree, &sweep, FREEZE_DEFAULT_CGROUPS);
	assert_int_equal(sweep.failed, 1);
	assert_int_equal(sweep.vanished, 1);
	assert_int_equal(sweep.targets.n, 2);
	assert_int_equal(tree_asked("threaded"), -EISDIR);
	assert_int_equal(tree_asked("gone"), -ENOENT);
	freeze_tree_thaw(&tree, &thaw);
	assert_int_equal(thaw.failed, 1);
	path_list_clear(&sweep.targets);
	freeze_tree_clear(&tree);
	tree_end();
}

static void test_the_audit(void **state)
{
	struct freeze_audit audit;
	struct freeze_tree tree;

	tree_begin();
	tree_make("docker/a");
	tree_make("init.scope");
	tree_make("new");
	tree_make("system.slice/nginx.service");
	look(&tree, "");
	tree_put("user", "cgroup.events", "frozen 1\n");
	tree_put("ptys", "cgroup.events", "frozen 1\n");
	tree_put("docker", "cgroup.events", "frozen 1\n");
	tree_put("docker/a", "cgroup.events", "populated 0\nfrozen 1\n");
	tree_put("init.scope", "cgroup.events", "frozen 1\n");
	tree_put("system.slice/nginx.service", "cgroup.events", "frozen 1\n");
	freeze_tree_audit(&tree, &audit);
	/* With the root and system.slice; user/p1 and ptys/p2 are not visited. */
	assert_int_equal(audit.visited, 10);
	assert_int_equal(audit.frozen, 5);
	assert_int_equal(audit.violations, 1);
	assert_string_equal(audit.violation_sample, "init.scope");
	assert_int_equal(audit.escaped, 1);
	assert_string_equal(audit.escaped_sample, "new");
	assert_false(audit.truncated);
	freeze_tree_clear(&tree);
	tree_end();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_where_the_daemon_is),
		cmocka_unit_test(test_where_the_daemon_is_can_not_be_read),
		cmocka_unit_test(test_what_is_needed),
		cmocka_unit_test(test_the_hierarchy),
		cmocka_unit_test(test_the_groups_come_before_the_bound),
		cmocka_unit_test(test_what_the_guest_had_frozen),
		cmocka_unit_test(test_what_fails),
		cmocka_unit_test(test_the_audit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
