/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens a directory of a tree, by the path that the tree remembers or through its open parent, and
 * in the same step places its watch and reads its identity (stat). Call these functions on a
 * worker.
 *
 * The opened directory need not be the one that the tree remembers: an ancestor may have been
 * moved, and the event of the move may still be in the kernel's queue. The caller compares the two.
 */
#ifndef WATCH_ENGINE_REACH_H
#define WATCH_ENGINE_REACH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct watch_node;

/* A directory that was opened and watched. */
struct watch_seen {
	int fd; /* owned by the caller. -errno: not opened, or not watched; the rest is not set */
	int wd; /* -ENOSPC: there is no watch left, or no instance */
	struct stat st;
};

/*
 * Opens the node's directory by its path, without changing its watch. Returns a descriptor; -ESTALE
 * if the path leads to another directory now; or -errno.
 */
int watch_open_node(struct watch_node *node);

/*
 * Opens the child directory whose name is at `place`, without following a symbolic link. `dirfd`
 * is the open parent. With mounts_below, the result is -EXDEV for the root of a file system that a
 * watch does not enter.
 */
void watch_see_child(struct watch_node *parent, int dirfd, uint32_t place, bool mounts_below,
		     struct watch_seen *ret);

/*
 * Opens the node's directory by its name in its parent; -ESTALE if the parent's path leads to
 * another directory. The parent is watched, so a later change of the name causes an event. For the
 * top, opens the watched directory itself; -ESTALE if its path leads to another directory than the
 * one that the client requested.
 */
void watch_see_node(struct watch_node *node, bool mounts_below, struct watch_seen *ret);

#endif
