/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names in one directory that its watchers were told of: a set. There is one for every
 * directory of every watched tree, so it is kept small.
 *
 * The names stand one behind the other in a pool. The *place* of a name is its offset there, and
 * holds until watch_names_compact. A set of up to WATCH_NAMES_LINEAR names is searched name by
 * name; a larger one has an index. The name of a directory may have a node. Each name has two
 * marks for the use of a listing: `seen` (the listing found it) and `pending` (its CREATE is not
 * emitted yet).
 */
#ifndef WATCH_ENGINE_NAMES_H
#define WATCH_ENGINE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "watch/engine/memory.h"

#define WATCH_NAMES_LINEAR 8

/* No place. */
#define WATCH_NAME_NONE UINT32_MAX

/* Longer ones do not come from the kernel: NAME_MAX is 255, FUSE allows 1024. */
#define WATCH_NAME_MAX_BYTES 1024

struct watch_node;

/* All zero is the empty set. */
struct watch_names {
	char *pool;
	uint32_t *index; /* places, open addressing */
	uint32_t pool_bytes;
	uint32_t pool_capacity;
	uint32_t dead_bytes; /* of removed names */
	uint32_t index_slots;
	uint32_t count;
	bool lacks_files; /* names of files found no room: no file is remembered */
	bool lacks_dirs;  /* names of some directories found no room */
};

/* The hash of a name, also for tables elsewhere. */
uint32_t watch_name_hash(const char *name, size_t n);

/* Empties the set, and gives its memory back. */
void watch_names_clear(struct watch_names *names, struct watch_memory *memory);

/* The place of the name, or WATCH_NAME_NONE. */
uint32_t watch_names_find(const struct watch_names *names, const char *name, size_t n);

/*
 * Adds a name that the set does not have; copies it. Returns WATCH_NAME_NONE if all trees would
 * then take more than `limit_bytes`, or if the pool is full.
 */
uint32_t watch_names_add(struct watch_names *names, struct watch_memory *memory, size_t limit_bytes,
			 const char *name, size_t n, bool is_dir);

/* Removes a name. Other names keep their places. */
void watch_names_remove(struct watch_names *names, uint32_t at);

/* Whether removed names take so much of the pool that it should be compacted. */
bool watch_names_wasteful(const struct watch_names *names);

/* Gives the memory of removed names back. Every name has another place afterwards. */
void watch_names_compact(struct watch_names *names, struct watch_memory *memory);

/* The first name at or behind a place (0: of all), or WATCH_NAME_NONE; and the one behind it. */
uint32_t watch_names_from(const struct watch_names *names, uint32_t at);
uint32_t watch_names_next(const struct watch_names *names, uint32_t at);

/* About the name at a place. The text ends with a NUL, and is borrowed until the next change. */
const char *watch_names_text(const struct watch_names *names, uint32_t at);
size_t watch_names_bytes(const struct watch_names *names, uint32_t at);
bool watch_names_is_dir(const struct watch_names *names, uint32_t at);
struct watch_node *watch_names_node(const struct watch_names *names, uint32_t at);
void watch_names_set_node(struct watch_names *names, uint32_t at, struct watch_node *node);
bool watch_names_seen(const struct watch_names *names, uint32_t at);
void watch_names_set_seen(struct watch_names *names, uint32_t at, bool seen);
bool watch_names_pending(const struct watch_names *names, uint32_t at);
void watch_names_set_pending(struct watch_names *names, uint32_t at, bool pending);

#endif
