/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/engine/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/*
 * A record of the pool: a head, a pointer to the node if the name is a directory's, the name, a
 * NUL. Records are not aligned.
 */
enum name_flag {
	NAME_DIR = 4, /* beside the marks of enum watch_name_mark */
	NAME_DEAD = 8,
};

struct name_head {
	uint16_t bytes;
	uint8_t flags;
} __attribute__((packed));

#define POOL_FIRST_BYTES 64
#define POOL_MAX_BYTES	 (1u << 30)
#define INDEX_FIRST	 32

static struct name_head *head_at(const struct watch_names *names, uint32_t at)
{
	return (struct name_head *)(void *)(names->pool + at);
}

static size_t node_bytes(const struct name_head *head)
{
	return head->flags & NAME_DIR ? sizeof(struct watch_node *) : 0;
}

static size_t record_bytes(const struct name_head *head)
{
	return sizeof(*head) + node_bytes(head) + head->bytes + 1;
}

const char *watch_names_text(const struct watch_names *names, uint32_t at)
{
	const struct name_head *head = head_at(names, at);

	return (const char *)(head + 1) + node_bytes(head);
}

size_t watch_names_bytes(const struct watch_names *names, uint32_t at)
{
	return head_at(names, at)->bytes;
}

bool watch_names_is_dir(const struct watch_names *names, uint32_t at)
{
	return head_at(names, at)->flags & NAME_DIR;
}

struct watch_node *watch_names_node(const struct watch_names *names, uint32_t at)
{
	const struct name_head *head = head_at(names, at);
	struct watch_node *node = NULL;

	if (head->flags & NAME_DIR)
		/* cppcheck-suppress pointerSize ; a pointer is what lies there */
		memcpy(&node, head + 1, sizeof(struct watch_node *));
	return node;
}

void watch_names_set_node(struct watch_names *names, uint32_t at, struct watch_node *node)
{
	memcpy(head_at(names, at) + 1, &node, sizeof(struct watch_node *));
}

bool watch_names_marked(const struct watch_names *names, uint32_t at, enum watch_name_mark mark)
{
	return head_at(names, at)->flags & mark;
}

void watch_names_mark(struct watch_names *names, uint32_t at, enum watch_name_mark mark, bool on)
{
	struct name_head *head = head_at(names, at);

	head->flags = (uint8_t)(on ? head->flags | mark : head->flags & ~mark);
}

/* FNV-1a. The index uses the low bits, so the high ones are mixed into them. */
uint32_t watch_name_hash(const char *name, size_t n)
{
	uint32_t hash = 2166136261u;
	size_t i;

	for (i = 0; i < n; i++)
		hash = (hash ^ (unsigned char)name[i]) * 16777619u;
	return hash ^ hash >> 15;
}

static bool is_name(const struct watch_names *names, uint32_t at, const char *name, size_t n)
{
	const struct name_head *head = head_at(names, at);

	return head->bytes == n && !(head->flags & NAME_DEAD) &&
	       memcmp(watch_names_text(names, at), name, n) == 0;
}

/* The index slot of the name, or the free slot where the name would go. */
static uint32_t index_slot(const struct watch_names *names, const char *name, size_t n)
{
	uint32_t mask = names->index_slots - 1;
	uint32_t slot = watch_name_hash(name, n) & mask;

	while (names->index[slot] != WATCH_NAME_NONE &&
	       !is_name(names, names->index[slot], name, n))
		slot = (slot + 1) & mask;
	return slot;
}

uint32_t watch_names_from(const struct watch_names *names, uint32_t at)
{
	while (at < names->pool_bytes) {
		if (!(head_at(names, at)->flags & NAME_DEAD))
			return at;
		at += (uint32_t)record_bytes(head_at(names, at));
	}
	return WATCH_NAME_NONE;
}

uint32_t watch_names_next(const struct watch_names *names, uint32_t at)
{
	return watch_names_from(names, at + (uint32_t)record_bytes(head_at(names, at)));
}

uint32_t watch_names_find(const struct watch_names *names, const char *name, size_t n)
{
	uint32_t at;

	if (names->index)
		return names->index[index_slot(names, name, n)];
	for (at = watch_names_from(names, 0); at != WATCH_NAME_NONE;
	     at = watch_names_next(names, at))
		if (is_name(names, at, name, n))
			return at;
	return WATCH_NAME_NONE;
}

/* Puts every name into the index. */
static void index_fill(struct watch_names *names)
{
	uint32_t at;

	memset(names->index, 0xff, names->index_slots * sizeof(*names->index));
	for (at = watch_names_from(names, 0); at != WATCH_NAME_NONE;
	     at = watch_names_next(names, at))
		names->index[index_slot(names, watch_names_text(names, at),
					watch_names_bytes(names, at))] = at;
}

/* Makes room in the index for one more name. The index is at most three quarters full. */
static bool index_reserve(struct watch_names *names, struct watch_memory *memory,
			  size_t limit_bytes)
{
	uint32_t slots = names->index_slots ? names->index_slots * 2 : INDEX_FIRST;

	if (names->count < (names->index ? names->index_slots / 4 * 3 : WATCH_NAMES_LINEAR))
		return true;
	if (!watch_memory_take(memory, (slots - names->index_slots) * sizeof(*names->index),
			       limit_bytes))
		return false;
	names->index = mem_realloc(names->index, slots * sizeof(*names->index));
	names->index_slots = slots;
	index_fill(names);
	return true;
}

/*
 * Removes the name from the index. A search ends at a free slot, so names behind the freed slot
 * move up if a search for them would pass it (Knuth, The Art of Computer Programming, volume 3,
 * section 6.4, algorithm R).
 */
static void index_remove(struct watch_names *names, uint32_t at)
{
	uint32_t mask = names->index_slots - 1, gap, slot, home;

	gap = index_slot(names, watch_names_text(names, at), watch_names_bytes(names, at));
	for (slot = gap;;) {
		slot = (slot + 1) & mask;
		at = names->index[slot];
		if (at == WATCH_NAME_NONE)
			break;
		home = watch_name_hash(watch_names_text(names, at), watch_names_bytes(names, at)) &
		       mask;
		if (((slot - home) & mask) >= ((slot - gap) & mask)) {
			names->index[gap] = at;
			gap = slot;
		}
	}
	names->index[gap] = WATCH_NAME_NONE;
}

/* Makes room in the pool. It grows by half, so that small pools stay small. */
static bool pool_reserve(struct watch_names *names, struct watch_memory *memory, size_t limit_bytes,
			 size_t n)
{
	size_t needed = names->pool_bytes + n, capacity = names->pool_capacity;

	if (needed <= capacity)
		return true;
	capacity += capacity / 2;
	if (capacity < POOL_FIRST_BYTES)
		capacity = POOL_FIRST_BYTES;
	if (capacity < needed)
		capacity = needed;
	if (capacity > POOL_MAX_BYTES ||
	    !watch_memory_take(memory, capacity - names->pool_capacity, limit_bytes))
		return false;
	names->pool = mem_realloc(names->pool, capacity);
	names->pool_capacity = (uint32_t)capacity;
	return true;
}

uint32_t watch_names_add(struct watch_names *names, struct watch_memory *memory, size_t limit_bytes,
			 const char *name, size_t n, bool is_dir)
{
	struct name_head head = {(uint16_t)n, is_dir ? NAME_DIR : 0};
	uint32_t at = names->pool_bytes;
	char *text;

	if (n > WATCH_NAME_MAX_BYTES || !index_reserve(names, memory, limit_bytes) ||
	    !pool_reserve(names, memory, limit_bytes, record_bytes(&head)))
		return WATCH_NAME_NONE;
	memcpy(names->pool + at, &head, sizeof(head));
	if (is_dir)
		watch_names_set_node(names, at, NULL);
	text = names->pool + at + sizeof(head) + node_bytes(&head);
	memcpy(text, name, n);
	text[n] = '\0';
	if (names->index)
		names->index[index_slot(names, name, n)] = at;
	names->pool_bytes += (uint32_t)record_bytes(&head);
	names->count++;
	return at;
}

void watch_names_remove(struct watch_names *names, uint32_t at)
{
	if (names->index)
		index_remove(names, at);
	head_at(names, at)->flags |= NAME_DEAD;
	names->dead_bytes += (uint32_t)record_bytes(head_at(names, at));
	names->count--;
}

bool watch_names_wasteful(const struct watch_names *names)
{
	return names->dead_bytes > POOL_FIRST_BYTES && names->dead_bytes > names->pool_bytes / 2;
}

/* Shrinks an index that is much too large, or frees it. */
static void index_shrink(struct watch_names *names, struct watch_memory *memory)
{
	uint32_t slots = names->index_slots;

	while (slots > INDEX_FIRST && names->count * 4 < slots)
		slots /= 2;
	if (names->count <= WATCH_NAMES_LINEAR)
		slots = 0;
	if (slots == names->index_slots)
		return;
	watch_memory_give(memory, (names->index_slots - slots) * sizeof(*names->index));
	free(names->index);
	names->index = slots ? mem_alloc(slots * sizeof(*names->index)) : NULL;
	names->index_slots = slots;
}

void watch_names_compact(struct watch_names *names, struct watch_memory *memory)
{
	uint32_t from, to = 0, next, bytes;

	for (from = watch_names_from(names, 0); from != WATCH_NAME_NONE; from = next) {
		next = watch_names_next(names, from);
		bytes = (uint32_t)record_bytes(head_at(names, from));
		memmove(names->pool + to, names->pool + from, bytes);
		to += bytes;
	}
	names->pool_bytes = to;
	names->dead_bytes = 0;
	if (names->pool_capacity > POOL_FIRST_BYTES && to < names->pool_capacity / 4) {
		watch_memory_give(memory, names->pool_capacity - to);
		names->pool = mem_realloc(names->pool, to);
		names->pool_capacity = to;
	}
	index_shrink(names, memory);
	if (names->index)
		index_fill(names);
}

void watch_names_clear(struct watch_names *names, struct watch_memory *memory)
{
	watch_memory_give(memory,
			  names->pool_capacity + names->index_slots * sizeof(*names->index));
	free(names->pool);
	free(names->index);
	memset(names, 0, sizeof(*names));
}
