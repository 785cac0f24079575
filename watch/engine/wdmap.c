/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/engine/wdmap.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "watch/engine/tree.h"

#define FIRST_CHAINS 8

/* The kernel counts descriptors up, so their low bits are an even hash. */
static struct watch_node **chain_of(const struct watch_wdmap *map, int wd)
{
	return &map->chains[(uint32_t)wd & (map->n_chains - 1)];
}

static void put(struct watch_wdmap *map, struct watch_node *node)
{
	struct watch_node **chain = chain_of(map, node->wd);

	node->chain = *chain;
	*chain = node;
}

static void grow(struct watch_wdmap *map)
{
	struct watch_node **old = map->chains, *node, *next;
	uint32_t i, n = map->n_chains;

	map->n_chains = n ? n * 2 : FIRST_CHAINS;
	map->chains = mem_zalloc(map->n_chains * sizeof(struct watch_node *));
	for (i = 0; i < n; i++)
		for (node = old[i]; node; node = next) {
			next = node->chain;
			put(map, node);
		}
	free(old);
}

/* Returns the first node of the chain from `node` on that has this descriptor, or NULL. */
static struct watch_node *find_from(struct watch_node *node, int wd)
{
	while (node && node->wd != wd)
		node = node->chain;
	return node;
}

struct watch_node *watch_wdmap_find(const struct watch_wdmap *map, int wd)
{
	return map->n_chains ? find_from(*chain_of(map, wd), wd) : NULL;
}

struct watch_node *watch_wdmap_next(const struct watch_node *node)
{
	return find_from(node->chain, node->wd);
}

void watch_wdmap_add(struct watch_wdmap *map, int wd, struct watch_node *node)
{
	if (map->n_nodes++ == map->n_chains)
		grow(map);
	node->wd = wd;
	put(map, node);
}

bool watch_wdmap_remove(struct watch_wdmap *map, struct watch_node *node)
{
	struct watch_node **link = chain_of(map, node->wd);
	int wd = node->wd;

	while (*link != node)
		link = &(*link)->chain;
	*link = node->chain;
	node->chain = NULL;
	node->wd = -1;
	map->n_nodes--;
	return !watch_wdmap_find(map, wd);
}

void watch_wdmap_clear(struct watch_wdmap *map)
{
	free(map->chains);
	memset(map, 0, sizeof(*map));
}
