/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/engine/wdmap.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "watch/engine/tree.h"

#define FIRST_CAPACITY 8

/*
 * The slot of wd, or the free slot where it would go. The kernel counts descriptors up, so their
 * low bits are an even hash.
 */
static uint32_t find_slot(const struct watch_wdmap *map, int wd)
{
	uint32_t mask = map->capacity - 1, slot = (uint32_t)wd & mask;

	while (map->slots[slot].wd != 0 && map->slots[slot].wd != wd)
		slot = (slot + 1) & mask;
	return slot;
}

static void grow(struct watch_wdmap *map)
{
	struct watch_wdmap_slot *old = map->slots;
	uint32_t i, n = map->capacity;

	map->capacity = n ? n * 2 : FIRST_CAPACITY;
	map->slots = mem_zalloc(map->capacity * sizeof(*map->slots));
	for (i = 0; i < n; i++)
		if (old[i].wd != 0)
			map->slots[find_slot(map, old[i].wd)] = old[i];
	free(old);
}

/* Empties a slot. Later entries move up if a search for them would pass the slot. */
static void free_slot(struct watch_wdmap *map, uint32_t gap)
{
	uint32_t mask = map->capacity - 1, slot = gap;

	for (;;) {
		slot = (slot + 1) & mask;
		if (map->slots[slot].wd == 0)
			break;
		if (((slot - (uint32_t)map->slots[slot].wd) & mask) >= ((slot - gap) & mask)) {
			map->slots[gap] = map->slots[slot];
			gap = slot;
		}
	}
	map->slots[gap] = (struct watch_wdmap_slot){0, NULL};
	map->count--;
}

struct watch_node *watch_wdmap_find(const struct watch_wdmap *map, int wd)
{
	return map->capacity ? map->slots[find_slot(map, wd)].first : NULL;
}

void watch_wdmap_add(struct watch_wdmap *map, int wd, struct watch_node *node)
{
	struct watch_wdmap_slot *slot;

	if ((map->count + 1) * 2 > map->capacity)
		grow(map);
	slot = &map->slots[find_slot(map, wd)];
	if (slot->wd == 0)
		map->count++;
	slot->wd = wd;
	node->wd = wd;
	node->same_wd = slot->first;
	slot->first = node;
}

bool watch_wdmap_remove(struct watch_wdmap *map, struct watch_node *node)
{
	uint32_t slot = find_slot(map, node->wd);
	struct watch_node **link = &map->slots[slot].first;

	while (*link != node)
		link = &(*link)->same_wd;
	*link = node->same_wd;
	node->same_wd = NULL;
	node->wd = -1;
	if (map->slots[slot].first)
		return false;
	free_slot(map, slot);
	return true;
}

void watch_wdmap_clear(struct watch_wdmap *map)
{
	free(map->slots);
	memset(map, 0, sizeof(*map));
}
