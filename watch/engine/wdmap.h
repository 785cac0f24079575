/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A map from a watch descriptor to its nodes.
 *
 * A watch belongs to an inode, not to a path. If a directory is bind-mounted into a tree a second
 * time, or lies in two trees of one inotify instance, one descriptor has several nodes, which are
 * chained through watch_node.same_wd.
 */
#ifndef WATCH_ENGINE_WDMAP_H
#define WATCH_ENGINE_WDMAP_H

#include <stdbool.h>
#include <stdint.h>

struct watch_node;

struct watch_wdmap_slot {
	int wd; /* 0: free (inotify counts from 1) */
	struct watch_node *first;
};

/* All zero is the empty map. */
struct watch_wdmap {
	struct watch_wdmap_slot *slots; /* open addressing */
	uint32_t capacity;
	uint32_t count;
};

void watch_wdmap_clear(struct watch_wdmap *map);

/* Returns the chain of nodes of this descriptor, or NULL. */
struct watch_node *watch_wdmap_find(const struct watch_wdmap *map, int wd);

/* Adds the node to the chain of wd, and sets its wd. */
void watch_wdmap_add(struct watch_wdmap *map, int wd, struct watch_node *node);

/*
 * Removes the node, which has a descriptor, from its chain, and sets its wd to -1. Returns true if
 * the chain is now empty: the kernel's watch is no longer needed.
 */
bool watch_wdmap_remove(struct watch_wdmap *map, struct watch_node *node);

#endif
