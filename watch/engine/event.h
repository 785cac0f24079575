/*
 * An event as clients get it, in the engine's own form: made by whoever owns the source, from then
 * on shared by reference among the watchers of its tree. The references are counted on the loop
 * alone.
 */
#ifndef WATCH_ENGINE_EVENT_H
#define WATCH_ENGINE_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rpc_frame;
struct watch_entry;

/* The numbers are filesystem.EventType's. */
enum watch_event_type {
	WATCH_CREATE = 1,
	WATCH_WRITE = 2,
	WATCH_REMOVE = 3,
	WATCH_RENAME = 4,
	WATCH_CHMOD = 5,
};

/* What has become of the other half of a move: said by the source, on the loop. */
enum watch_move {
	WATCH_MOVE_NONE,    /* no move, or nobody asked */
	WATCH_MOVE_WAITING, /* RENAME: its CREATE may come yet */
	WATCH_MOVE_ALONE,   /* RENAME: it went out of the tree */
	WATCH_MOVE_PAIRED,  /* RENAME: `to` is where it went */
	WATCH_MOVE_SECOND,  /* CREATE: told by the RENAME it belongs to */
};

struct watch_event {
	unsigned refs;
	uint64_t number; /* in the order of delivery, over all trees */
	uint16_t name_bytes;
	uint8_t type; /* enum watch_event_type */
	uint8_t move; /* enum watch_move */
	bool is_dir;
	bool look_again;	   /* a WRITE that stands for whatever was not told */
	struct watch_event *to;	   /* WATCH_MOVE_PAIRED; a reference */
	struct watch_entry *entry; /* NULL: none; owned */
	struct rpc_frame **frames; /* by encoding; NULL: none yet; owned */
	char name[];		   /* below the watched directory, ended by a NUL; "." is itself */
};

/* With one reference; copies the name. */
struct watch_event *watch_event_new(enum watch_event_type type, const char *name, size_t n);
struct watch_event *watch_event_ref(struct watch_event *event);
void watch_event_unref(struct watch_event *event); /* NULL is fine */

/* What a watcher is charged for holding it. */
size_t watch_event_bytes(const struct watch_event *event);

/* "CREATE", … for logs and tests. */
const char *watch_event_type_name(enum watch_event_type type);

#endif
