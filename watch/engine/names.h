/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The set of names in one directory that were emitted to its watchers. Every directory of every
 * watched tree has one, so it is compact.
 *
 * The names are stored in a pool, one after the other. The *place* of a name is its offset in the
 * pool, and stays valid until watch_names_compact. A set of up to WATCH_NAMES_LINEAR names is
 * searched linearly; a larger one has an index. The name of a directory may have a node. Each name
 * has two marks for a listing.
 */
#ifndef WATCH_ENGINE_NAMES_H
#define WATCH_ENGINE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "watch/engine/memory.h"

#define WATCH_NAMES_LINEAR 8

/* The value for no place. */
#define WATCH_NAME_NONE UINT32_MAX

/* The maximum length of a name. NAME_MAX is 255, FUSE allows 1024. */
#define WATCH_NAME_MAX_BYTES 1024

struct watch_node;

enum watch_name_mark {
	WATCH_NAME_SEEN = 1,	/* the listing found the name */
	WATCH_NAME_PENDING = 2, /* its CREATE is not emitted yet */
};

/* All zero is the empty set. */
struct watch_names {
	char *pool;
	uint32_t *index; /* places, open addressing */
	uint32_t pool_bytes;
	uint32_t pool_capacity;
	uint32_t dead_bytes; /* bytes of removed names in the pool */
	uint32_t index_slots;
	uint32_t count;
	bool lacks_files; /* a file's name did not fit: the set contains no files */
	bool lacks_dirs;  /* names of some directories did not fit */
};

/* Returns the hash of a name. Other tables use it too. */
uint32_t watch_name_hash(const char *name, size_t n);

/* Empties the set and frees its memory. */
void watch_names_clear(struct watch_names *names, struct watch_memory *memory);

/* Returns the place of the name, or WATCH_NAME_NONE. */
uint32_t watch_names_find(const struct watch_names *names, const char *name, size_t n);

/*
 * Adds a name that is not in the set, as a copy. Returns its place; WATCH_NAME_NONE if all trees
 * would then use more than limit_bytes, or if the pool is full.
 */
uint32_t watch_names_add(struct watch_names *names, struct watch_memory *memory, size_t limit_bytes,
			 const char *name, size_t n, bool is_dir);

/* Removes a name. Other names keep their places. */
void watch_names_remove(struct watch_names *names, uint32_t at);

/* Returns true if removed names use enough of the pool for compacting it. */
bool watch_names_wasteful(const struct watch_names *names);

/* Frees the memory of removed names. This changes the places of all names. */
void watch_names_compact(struct watch_names *names, struct watch_memory *memory);

/*
 * watch_names_from returns the place of the first name at or after `at` (0: of the first name),
 * watch_names_next of the one after it; WATCH_NAME_NONE at the end.
 */
uint32_t watch_names_from(const struct watch_names *names, uint32_t at);
uint32_t watch_names_next(const struct watch_names *names, uint32_t at);

/*
 * Get and set the properties of the name at a place. The text is NUL-terminated, and borrowed until
 * the next change.
 */
const char *watch_names_text(const struct watch_names *names, uint32_t at);
size_t watch_names_bytes(const struct watch_names *names, uint32_t at);
bool watch_names_is_dir(const struct watch_names *names, uint32_t at);
struct watch_node *watch_names_node(const struct watch_names *names, uint32_t at);
void watch_names_set_node(struct watch_names *names, uint32_t at, struct watch_node *node);
bool watch_names_marked(const struct watch_names *names, uint32_t at, enum watch_name_mark mark);
void watch_names_mark(struct watch_names *names, uint32_t at, enum watch_name_mark mark, bool on);

#endif
