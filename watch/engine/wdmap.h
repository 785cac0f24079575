/*
 * Which directories a watch descriptor stands for.
 *
 * A watch belongs to an inode, not to a path: a directory that is bind-mounted into the tree a
 * second time, or lies in two watched trees that share an inotify instance, is watched by one
 * descriptor and has several nodes. They are chained through watch_node.same_wd.
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

/* The chain of nodes of this descriptor, or NULL. */
struct watch_node *watch_wdmap_find(const struct watch_wdmap *map, int wd);

/* Adds the node to the chain of wd, which it takes as its own. */
void watch_wdmap_add(struct watch_wdmap *map, int wd, struct watch_node *node);

/*
 * Takes the node, which has a descriptor, out of its chain; its wd is -1 then. True where the
 * chain is empty now: nobody needs the kernel's watch any more.
 */
bool watch_wdmap_remove(struct watch_wdmap *map, struct watch_node *node);

#endif
