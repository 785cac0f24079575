/*
 * The names in one directory, as its watchers know them: a set, kept small because there is one
 * for every directory of every watched tree.
 *
 * Names lie one behind the other in a pool; a name is known by its place there, which stays until
 * watch_names_compact. Up to WATCH_NAMES_LINEAR names are searched one by one, more have an index.
 * A directory's name may have a node (the watch of that directory). Each name has a mark, for
 * finding out which names a listing did not have, and may be untold: its watchers are still to hear
 * of it.
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
	uint32_t dead_bytes; /* of names that were taken out */
	uint32_t index_slots;
	uint32_t count;
};

/* The hash that sets of names go by. */
uint32_t watch_name_hash(const char *name, size_t n);

/* Gives all memory back. */
void watch_names_clear(struct watch_names *names, struct watch_memory *memory);

/* The place of the name, or WATCH_NAME_NONE. */
uint32_t watch_names_find(const struct watch_names *names, const char *name, size_t n);

/*
 * Adds a name that is not there; copies it. WATCH_NAME_NONE where the memory would be more than
 * `limit_bytes` for all trees, or the pool more than its places can say.
 */
uint32_t watch_names_add(struct watch_names *names, struct watch_memory *memory, size_t limit_bytes,
			 const char *name, size_t n, bool is_dir);

/* Takes a name out. Other names keep their places. */
void watch_names_remove(struct watch_names *names, uint32_t at);

/*
 * Whether so much of the pool is dead that it should be compacted, and doing it. Afterwards every
 * name has another place.
 */
bool watch_names_wasteful(const struct watch_names *names);
void watch_names_compact(struct watch_names *names, struct watch_memory *memory);

/* The first name's place from `at` on (0: of all), or WATCH_NAME_NONE; and the one behind `at`. */
uint32_t watch_names_from(const struct watch_names *names, uint32_t at);
uint32_t watch_names_next(const struct watch_names *names, uint32_t at);

/* Of the name at a place. The text is ended by a NUL, and borrowed until the next change. */
const char *watch_names_text(const struct watch_names *names, uint32_t at);
size_t watch_names_bytes(const struct watch_names *names, uint32_t at);
bool watch_names_is_dir(const struct watch_names *names, uint32_t at);
struct watch_node *watch_names_node(const struct watch_names *names, uint32_t at);
void watch_names_set_node(struct watch_names *names, uint32_t at, struct watch_node *node);
bool watch_names_marked(const struct watch_names *names, uint32_t at);
void watch_names_mark(struct watch_names *names, uint32_t at, bool marked);
bool watch_names_untold(const struct watch_names *names, uint32_t at);
void watch_names_set_untold(struct watch_names *names, uint32_t at, bool untold);

#endif
