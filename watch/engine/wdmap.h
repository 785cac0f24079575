/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A map from watch descriptors to nodes: a hash table whose nodes are chained through
 * watch_node.chain.
 *
 * A watch belongs to an inode, not to a path. If a directory is bind-mounted into a tree a second
 * time, or lies in two trees of one inotify instance, one descriptor has several nodes.
 */
#ifndef WATCH_ENGINE_WDMAP_H
#define WATCH_ENGINE_WDMAP_H

#include <stdbool.h>
#include <stdint.h>

struct watch_node;

/* All zero is the empty map. */
struct watch_wdmap {
	struct watch_node **chains; /* by the low bits of the descriptor */
	uint32_t n_chains;	    /* a power of two, at least n_nodes */
	uint32_t n_nodes;
};

void watch_wdmap_clear(struct watch_wdmap *map);

/*
 * watch_wdmap_find returns a node of this descriptor, watch_wdmap_next another one with the
 * descriptor of `node`; NULL if there is none.
 */
struct watch_node *watch_wdmap_find(const struct watch_wdmap *map, int wd);
struct watch_node *watch_wdmap_next(const struct watch_node *node);

/* Adds the node, and sets its wd. */
void watch_wdmap_add(struct watch_wdmap *map, int wd, struct watch_node *node);

/*
 * Removes the node, which has a descriptor, and sets its wd to -1. Returns true if no other node
 * has this descriptor: the kernel's watch is no longer needed.
 */
bool watch_wdmap_remove(struct watch_wdmap *map, struct watch_node *node);

#endif
