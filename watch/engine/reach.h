/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens a directory of a tree, by the path that the tree remembers or through its open parent, and
 * in the same step places its watch and reads which directory it is. On a worker.
 *
 * The directory found need not be the one remembered: something above may have been moved, and the
 * event that says so may still be in the kernel's queue. The caller compares.
 */
#ifndef WATCH_ENGINE_REACH_H
#define WATCH_ENGINE_REACH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct watch_node;
struct watch_tree;

/* A directory that was opened and watched. */
struct watch_seen {
	int fd; /* the caller closes it. -errno: not opened, and the rest is not set */
	int wd; /* -errno: not watched; -ENOSPC: there is no watch left, or no instance */
	struct stat st;
};

/* Whether the node stands for this directory. */
bool watch_node_is(const struct watch_node *node, const struct stat *st);

/*
 * Opens the node's directory by its path, without touching its watch. A descriptor; -ESTALE if the
 * path leads to another directory by now; or -errno.
 */
int watch_open_node(struct watch_node *node);

/*
 * Opens the directory `name` of `dirfd` without following a symbolic link; or takes a descriptor
 * that is open, or -errno.
 */
void watch_see(int inotify_fd, int dirfd, const char *name, struct watch_seen *ret);
void watch_see_open(int inotify_fd, int fd, struct watch_seen *ret);

/*
 * Opens the directory of the name at `place` of an open parent. With `mounts_below`, -EXDEV for the
 * top of a file system that is not gone into.
 */
void watch_see_child(struct watch_node *parent, int dirfd, uint32_t place, bool mounts_below,
		     struct watch_seen *ret);

/*
 * Opens the node's directory by its name in its parent; -ESTALE if the parent's path leads to
 * another directory. The parent is watched, so a later change of the name has an event.
 */
void watch_see_below(struct watch_node *node, bool mounts_below, struct watch_seen *ret);

/* Opens the watched directory itself; -ESTALE if it is not the one that was asked for. */
void watch_see_top(struct watch_tree *tree, struct watch_seen *ret);

#endif
