/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests/unit/test_freeze*.c: a cgroup hierarchy of ordinary files below /tmp. Nothing stops
 * when a file says so: the test writes what the kernel would write.
 */
#ifndef TESTS_UNIT_CGROUP_TREE_H
#define TESTS_UNIT_CGROUP_TREE_H

/* The path of the hierarchy, and the open directory. Valid from tree_begin to tree_end. */
extern char tree_top[64];
extern int tree_root_fd;

/* Makes a hierarchy with user/p1, ptys/p2 and socats. */
void tree_begin(void);

/* Removes the hierarchy. */
void tree_end(void);

/* Makes a cgroup and its missing ancestors, with the files that the freezer uses. */
void tree_make(const char *path);

/* Replaces the text of a file of the cgroup. */
void tree_put(const char *path, const char *file, const char *text);

/* Returns freeze_tree_is_asked. */
int tree_asked(const char *path);

#endif
