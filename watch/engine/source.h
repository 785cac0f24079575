/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source: one inotify instance, the trees that are watched through it, and their events. The
 * sources are the engine of watching; they know neither the loop nor clients.
 *
 * One thread at a time owns a source: the loop, or the worker to which the loop has lent it
 * (watch/feed.h). The owner calls watch_source_drive, which reads the kernel's queue and applies
 * the events to the trees, one after the other (follow.c). If an event or an overflow requires
 * reading directories, this happens before the next event (scan.c), and only on a worker.
 *
 * Why the clients' view becomes correct. The names of a node are the names that were emitted to its
 * watchers. They change by events, in the kernel's order, and by listings. A listing is made after
 * the watch was placed, through the same open directory, so each change after the listing has an
 * event. The event of a change before the listing may also still be in the queue. Applying it again
 * does no harm: a known name is not created again, an unknown name is not removed, and the last
 * event of a name leaves the name in its final state. After each event that gives a directory a
 * name, the directory is opened through its parent and compared with its node. So when no event is
 * left, every node is correct, from the top downwards.
 *
 * Clients also list the directories that they learn of. Therefore the CREATE of a directory is
 * emitted when its watch is in place (if it can have one). A directory that replaces another one,
 * or that could be opened only later, is emitted anew: REMOVE, CREATE, and all its entries.
 *
 * After an overflow of the kernel's queue, each tree is read again, and the differences are
 * emitted, followed by a WRITE of ".". The WRITE makes clients look again, because they may have
 * seen entries that were created and removed in the meantime.
 *
 * A source may have no inotify instance (the user's limit is reached), and a node may have no
 * watch. Such directories are read every WATCH_POLL_MS. The source tries to get an instance each
 * time.
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

/* The time to wait for the MOVED_TO of a move, once the kernel's queue is empty. */
#define WATCH_MOVE_WAIT_MS 10

/* The maximum number of pending moves. Beyond it, the oldest counts as a move out of its tree. */
#define WATCH_MOVES_MAX 1024

/*
 * After an overflow: the delay before everything is read again, so that a burst can pass; and the
 * pause between two readings, as a multiple of the duration of the earlier reading.
 */
#define WATCH_RELIST_DELAY_MS 50
#define WATCH_RELIST_PAUSE    4

/* The interval of the readings of directories without a watch, and their pause, as above. */
#define WATCH_POLL_MS	 2000
#define WATCH_POLL_PAUSE 19

/* The limits of one drive. */
#define WATCH_DRIVE_EVENTS   1024 /* emitted */
#define WATCH_DRIVE_LOOP_MAX 256  /* kernel events, on the loop */
#define WATCH_DRIVE_SLICE_MS 20	  /* on a worker */
#define WATCH_DRIVE_START_MS 200  /* on a worker while no tree is live */

enum watch_drive {
	WATCH_DRIVE_IDLE, /* nothing to do until a kernel event or a timer */
	WATCH_DRIVE_MORE, /* a limit was reached: take the outputs, drive again */
	WATCH_DRIVE_WORK, /* directories must be read: drive on a worker */
};

/* An emitted event. */
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
	uint64_t quiet_ms; /* when the kernel's queue was first empty; 0: not yet */
};

/* Reads the EntryInfo of an absolute path for an event; NULL if it can't be read. */
typedef struct watch_attachment *watch_read_entry_fn(void *arg, const char *path);

struct watch_source {
	int fd;	      /* -1: no inotify instance is available */
	bool network; /* its trees go into network file systems */
	struct watch_memory *memory;
	struct watch_mounts *mounts;
	watch_read_entry_fn *read_entry; /* NULL: events carry no entries */
	void *read_entry_arg;
	struct watch_wdmap wds;
	TAILQ_HEAD(, watch_tree) trees;
	size_t n_trees;

	/* Bytes of kernel events that were read but not applied yet. */
	char *raw;
	size_t raw_begin;
	size_t raw_end;
	size_t raw_capacity;
	uint64_t read_bytes;	      /* since the source was created */
	uint64_t listed_bytes;	      /* watch_source_queued_bytes at the end of the last scan */
	struct watch_node *next_same; /* the next node of the event; watch_node_bind updates it */

	struct watch_nodes look[WATCH_LOOK_NONE];
	struct watch_nodes discarded;
	size_t n_poll; /* nodes without a watch */
	struct watch_scan scan;
	TAILQ_HEAD(, watch_pending_move) moves;
	size_t n_moves;

	struct watch_mark drained; /* time before the last read that emptied the queue */
	bool overflowed;	   /* the overflow is not handled yet */
	struct watch_mark lost_since;
	unsigned long overflows;
	uint64_t relist_ms; /* time to handle the overflow */
	uint64_t relist_not_before_ms;
	uint64_t relist_began_ms; /* 0: no reading is in progress; also for poll_began_ms */
	uint64_t poll_began_ms;
	uint64_t poll_last_ms;
	uint64_t poll_ms; /* time of the next read of nodes without a watch */

	struct watch_output *outputs;
	size_t n_outputs;
	size_t outputs_capacity;
	size_t drive_events; /* maximum emitted events of a drive: WATCH_DRIVE_EVENTS or fewer */

	char *path; /* for watch_node_path */
	size_t path_capacity;
};

/*
 * Creates a source without trees. Takes ownership of the inotify descriptor; -1: directories are
 * polled until the source gets an instance. Borrows the rest.
 */
struct watch_source *watch_source_new(int fd, struct watch_memory *memory,
				      struct watch_mounts *mounts);

/*
 * Frees the source and its trees. Call it on a worker: closing the instance waits in the kernel for
 * its readers (synchronize_srcu in fs/notify/mark.c).
 */
void watch_source_free(struct watch_source *source);

/*
 * Begins to watch a tree and takes ownership of it. The tree becomes SILENT when all its
 * directories are watched.
 */
void watch_source_add(struct watch_source *source, struct watch_tree *tree);

/* Stops watching; drops the tree's outputs. The tree is freed with its last node. */
void watch_source_remove(struct watch_source *source, struct watch_tree *tree);

/* Processes events and directories up to the limits of a drive; see the top of this file. */
enum watch_drive watch_source_drive(struct watch_source *source, bool on_worker);

/* Returns the milliseconds until a drive is due even without kernel events; -1: never. */
int64_t watch_source_due_ms(const struct watch_source *source, uint64_t now_ms);

/*
 * Positions in the kernel's stream of events, in bytes: watch_source_queued_bytes returns the
 * current end of the stream, watch_source_applied_bytes the end of the applied events. An event
 * that is in the queue now is applied when the second value has reached the first.
 */
uint64_t watch_source_queued_bytes(struct watch_source *source);
uint64_t watch_source_applied_bytes(const struct watch_source *source);

/* Returns true if a directory is being scanned, or must be scanned before the next event. */
bool watch_source_is_looking(const struct watch_source *source);

/* ---- for the files of the engine ---- */

/* Applies one event of the kernel. */
void watch_follow(struct watch_source *source, const struct inotify_record *record);

/*
 * Ends the pending moves of a tree (NULL: of all trees) whose MOVED_TO is late at this time; 0: all
 * of them.
 */
void watch_follow_expire(struct watch_source *source, const struct watch_tree *tree,
			 uint64_t now_ms);

/*
 * If the tree is live, emits an event for `name` in the node's directory (NULL: for the directory
 * itself). Returns the event, borrowed until the next call, or NULL.
 */
struct watch_event *watch_emit(struct watch_node *node, enum watch_event_type type,
			       const char *name, size_t n, bool is_dir);

/* Emits "look again": a WRITE of the directory, for changes that could not be emitted. */
void watch_emit_look_again(struct watch_node *node);

/* Emits REMOVE or RENAME of ".", the last event, because the watched directory itself is gone. */
void watch_emit_gone(struct watch_tree *tree, enum watch_event_type type);

#endif
