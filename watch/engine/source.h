/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source: one inotify instance, the trees that are watched through it, and the events that come
 * of them. The engine of watching. It knows neither the loop nor clients.
 *
 * One thread at a time owns a source: the loop, or the worker that the loop has lent it to
 * (watch/feed.h). The owner calls watch_source_drive, which reads the kernel's queue and applies
 * one event after the other to the trees (follow.c). If an event or an overflow makes it necessary
 * to look at directories, that comes before the next event (scan.c), and on a worker only.
 *
 * Why clients end up with the truth. The names of a node are the names that its watchers were told
 * of. They change by events, in the kernel's order, and by listings. A listing is made after the
 * watch was placed, through the same open directory. So a change after the listing has an event. A
 * change before the listing may also still have its event in the queue; to apply that event again
 * does no harm: a known name is not created, an unknown one is removed, and the last event of a
 * name leaves the name as it is. After each event that gives a directory a name, the directory is
 * opened through its parent and compared with its node. So when no event is left, every node is
 * right, from the top downwards.
 *
 * Clients also look for themselves: they list a directory that they are told of. So the CREATE of
 * a directory is emitted when its watch is in place (if it can have one). A directory that takes
 * the place of another one, or that could be opened only later, is emitted anew: REMOVE, CREATE,
 * and everything in it.
 *
 * After an overflow of the kernel's queue, each tree is read again, the differences are emitted,
 * and behind them a WRITE of ".": the client may have seen entries that came and went in between,
 * so it looks again.
 *
 * A source may have no inotify instance (the user's limit is reached), and a node may have no
 * watch. Such directories are read every WATCH_POLL_MS. The source asks for an instance each time.
 */
#ifndef WATCH_ENGINE_SOURCE_H
#define WATCH_ENGINE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "watch/engine/event.h"
#include "watch/engine/inotify.h"
#include "watch/engine/overflow.h"
#include "watch/engine/scan.h"
#include "watch/engine/tree.h"
#include "watch/engine/wdmap.h"

struct watch_memory;
struct watch_mounts;

/* How long the second half of a move is waited for once the kernel's queue is empty. */
#define WATCH_MOVE_WAIT_MS 10

/* Moves whose second half has not come. Above it, the oldest counts as a move out of its tree. */
#define WATCH_MOVES_MAX 1024

/*
 * After an overflow: the pause before everything is read again, so that a burst can pass; and the
 * pause between two readings, in multiples of the time that the first one took.
 */
#define WATCH_RELIST_DELAY_MS 50
#define WATCH_RELIST_PAUSE    4

/* The same for directories without a watch. */
#define WATCH_POLL_MS	 2000
#define WATCH_POLL_PAUSE 19

/* The most that one drive does before it returns. */
#define WATCH_DRIVE_EVENTS   1024 /* emitted */
#define WATCH_DRIVE_LOOP_MAX 256  /* kernel events, on the loop */
#define WATCH_DRIVE_SLICE_MS 20	  /* on a worker */
#define WATCH_DRIVE_START_MS 200  /* on a worker while no tree is live */

enum watch_drive {
	WATCH_DRIVE_IDLE, /* nothing to do until the kernel or a timer says so */
	WATCH_DRIVE_MORE, /* a limit was reached: take the outputs, drive again */
	WATCH_DRIVE_WORK, /* directories must be looked at: drive on a worker */
};

/* An event that was emitted, in order. */
struct watch_output {
	struct watch_tree *tree;
	struct watch_event *event; /* a reference */
};

/* The directory of a MOVED_FROM whose MOVED_TO has not come yet. */
struct watch_pending_move {
	TAILQ_ENTRY(watch_pending_move) link;
	struct watch_tree *tree;
	uint32_t cookie;
	struct watch_node *node;
	uint64_t quiet_ms; /* since when the kernel's queue is empty; 0: it was not yet */
};

/* Reads the EntryInfo of an absolute path for an event; NULL if it can't be read. */
typedef struct watch_attachment *watch_read_entry_fn(void *arg, const char *path);

struct watch_source {
	int fd;	      /* -1: no inotify instance is to be had */
	bool network; /* its trees go into network file systems */
	struct watch_memory *memory;
	struct watch_mounts *mounts;
	watch_read_entry_fn *read_entry; /* NULL: events carry no entries */
	void *read_entry_arg;
	struct watch_wdmap wds;
	TAILQ_HEAD(, watch_tree) trees;
	size_t n_trees;

	/* Bytes of the kernel's events that were read and not applied yet. */
	char *raw;
	size_t raw_begin;
	size_t raw_end;
	size_t raw_capacity;
	uint64_t read_bytes; /* since the source was made */
	struct watch_node
		*next_same; /* the next node of the event; watch_node_bind keeps it right */

	struct watch_nodes look[WATCH_LOOK_NONE];
	struct watch_nodes discarded;
	size_t n_poll; /* nodes without a watch */
	struct watch_scan scan;
	TAILQ_HEAD(, watch_pending_move) moves;
	size_t n_moves;

	struct watch_mark drained; /* before the last read that left the queue empty */
	bool overflowed;	   /* and is not answered yet */
	struct watch_mark lost_since;
	unsigned long overflows;
	uint64_t relist_ms; /* when the overflow is to be answered */
	uint64_t relist_not_before_ms;
	uint64_t relist_began_ms; /* 0: no reading is under way; poll_began_ms as well */
	uint64_t poll_began_ms;
	uint64_t poll_last_ms;
	uint64_t poll_ms; /* when the nodes without a watch are read next */

	struct watch_output *outputs;
	size_t n_outputs;
	size_t outputs_capacity;
	size_t drive_events; /* that end a drive: WATCH_DRIVE_EVENTS, or fewer */

	char *path; /* for watch_node_path */
	size_t path_capacity;
};

/*
 * Makes a source without trees. Takes the inotify descriptor; -1: directories are polled until the
 * source gets an instance. Borrows the rest.
 */
struct watch_source *watch_source_new(int fd, struct watch_memory *memory,
				      struct watch_mounts *mounts);

/*
 * Frees the source with everything on it. Closing the instance waits for its readers in the kernel
 * (synchronize_srcu in fs/notify/mark.c), so on a worker.
 */
void watch_source_free(struct watch_source *source);

/* Begins to watch a tree, which the source takes. The tree is SILENT once all is watched. */
void watch_source_add(struct watch_source *source, struct watch_tree *tree);

/* Stops watching; drops the tree's outputs. The tree is freed with its last node. */
void watch_source_remove(struct watch_source *source, struct watch_tree *tree);

/* Does what is to be done; see the top of this file. */
enum watch_drive watch_source_drive(struct watch_source *source, bool on_worker);

/* Milliseconds until a drive is due even if the kernel says nothing; -1: never. */
int64_t watch_source_due_ms(const struct watch_source *source, uint64_t now_ms);

/*
 * Positions in the kernel's stream of events, in bytes: its end as of now, and how far events were
 * applied. An event that is in the queue now is applied once the second has reached the first.
 */
uint64_t watch_source_queued_bytes(struct watch_source *source);
uint64_t watch_source_applied_bytes(const struct watch_source *source);

/* Whether a directory is being looked at, or must be before the next event. */
bool watch_source_is_looking(const struct watch_source *source);

/* For a long pause: closes the directories that a look holds open. The look goes on afterwards. */
void watch_source_rest(struct watch_source *source);

/* ---- for the files of the engine ---- */

/* Applies one event of the kernel. */
void watch_follow(struct watch_source *source, const struct inotify_record *record);

/* Gives up moves whose second half is late, or all. */
void watch_follow_expire(struct watch_source *source, uint64_t now_ms, bool all);

/* Gives up the pending moves of a tree. */
void watch_follow_forget(struct watch_source *source, const struct watch_tree *tree);

/*
 * Emits an event of the name `name` in the node's directory (NULL: of the directory itself), if
 * the tree is live. Returns it, borrowed until the next call, or NULL.
 */
struct watch_event *watch_emit(struct watch_node *node, enum watch_event_type type,
			       const char *name, size_t n, bool is_dir);

/* Emits "look again": a WRITE of the directory, for changes that could not be emitted. */
void watch_emit_look_again(struct watch_node *node);

/* The watched directory itself is gone: emits REMOVE or RENAME of ".", the last event. */
void watch_emit_gone(struct watch_tree *tree, enum watch_event_type type);

#endif
