/*
 * A source: one inotify instance, the trees that are watched through it, and the events that come
 * of them. The engine of watching; it knows no loop and no clients.
 *
 * A source is owned by one thread at a time: the loop, or a worker to which the loop has lent it
 * (watch/feed.h). Its owner drives it:
 *
 *	watch_source_drive() reads the kernel's queue and applies one event after the other to the
 *	trees (watch/engine/follow.c). Where an event, or a loss of events, makes it necessary to look at
 *	directories, that comes before the next event (watch/engine/scan.c), and on a worker alone.
 *
 * Why what clients are told ends in the truth. A node's names are what its watchers have been
 * told. They change by events, in the kernel's order, and by listings. A listing is made after the
 * watch was placed, through the same open directory, so a later change of a name has an event; an
 * earlier one may have its event still in the queue, and applying that again does no harm: a name
 * that is there is not created, one that is not there is not removed, and the last event of a name
 * leaves it as it is. Which directory a node stands for is checked, through its parent's open
 * directory, after each event that gives a directory a name. So it is right once no event is left,
 * from the top downwards.
 *
 * Clients also look for themselves where a directory was told. So it is told when its watch is in
 * place (as far as it can be), or has been all the time because it was moved; another one that
 * turns up by its name is told anew, and so is one that could only be looked at later. And of what
 * goes before the names were first read, but after the watch was there, they hear although it was
 * never told: they may have seen it.
 */
#ifndef WATCH_ENGINE_SOURCE_H
#define WATCH_ENGINE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/arena.h"
#include "fs/entry.h"
#include "watch/engine/event.h"
#include "watch/engine/gap.h"
#include "watch/engine/inotify.h"
#include "watch/engine/scan.h"
#include "watch/engine/tree.h"
#include "watch/engine/wdmap.h"

struct user_db;
struct watch_memory;
struct watch_mounts;

/* Between the two halves of a move, once the queue is empty. */
#define WATCH_MOVE_WAIT_MS 10

/* Moves whose second half has not come. Above it the oldest counts as gone out of its tree. */
#define WATCH_MOVES_MAX 1024

/*
 * After a loss a burst is let pass before everything is read again; and reading again takes at most
 * a fifth of the time.
 */
#define WATCH_RELIST_DELAY_MS 50
#define WATCH_RELIST_PAUSE    4

/* Directories without a watch are looked at this often, and in at most a twentieth of the time. */
#define WATCH_POLL_MS	 2000
#define WATCH_POLL_PAUSE 19

/* What one drive does at most before it returns. */
#define WATCH_DRIVE_EVENTS   1024 /* told */
#define WATCH_DRIVE_LOOP_MAX 256  /* events of the kernel's, on the loop */
#define WATCH_DRIVE_SLICE_MS 20	  /* on a worker */
#define WATCH_DRIVE_START_MS 200  /* the same while nobody is told anything yet */

enum watch_drive {
	WATCH_DRIVE_IDLE, /* nothing to do before the kernel or a timer says so */
	WATCH_DRIVE_MORE, /* the limits of a drive are reached: take the outputs, drive again */
	WATCH_DRIVE_WORK, /* directories must be looked at: drive it on a worker */
};

/* What a drive has to tell, in order. */
enum watch_output_kind {
	WATCH_OUTPUT_EVENT,
	WATCH_OUTPUT_ALONE, /* the RENAME `event` has no second half */
};

struct watch_output {
	enum watch_output_kind kind;
	struct watch_tree *tree;
	struct watch_event *event; /* a reference */
	struct watch_event
		*first; /* the RENAME that this CREATE belongs to, or NULL; a reference */
};

/* Says in the event what has become of a move's other half. On the loop, when it is delivered. */
void watch_output_resolve(const struct watch_output *output);

/* The first half of a move: a name that went, and may turn up elsewhere. */
struct watch_half {
	TAILQ_ENTRY(watch_half) link;
	struct watch_tree *tree;
	uint32_t cookie;
	struct watch_node *node;   /* of a directory; NULL: none */
	struct watch_event *event; /* of the RENAME, where it was told; a reference */
	uint64_t quiet_ms;	   /* since when the queue is empty; 0: it was not yet */
};

struct watch_source {
	int fd;
	bool network; /* its trees go into network file systems */
	struct watch_memory *memory;
	struct watch_mounts *mounts;
	struct watch_wdmap wds;
	TAILQ_HEAD(, watch_tree) trees;
	size_t n_trees;

	/* Bytes of the kernel's that were read and not yet applied. */
	char *raw;
	size_t raw_begin;
	size_t raw_end;
	size_t raw_capacity;
	uint64_t read_bytes;	      /* ever */
	uint64_t unsure_until_bytes;  /* what had been queued when the last look ended */
	struct watch_node *next_same; /* the event's next node; follows changes of the chain */

	struct watch_nodes look[WATCH_LOOK_NONE];
	struct watch_nodes garbage;
	size_t n_poll; /* nodes without a watch */
	struct watch_scan scan;
	TAILQ_HEAD(, watch_half) halves;
	size_t n_halves;

	struct watch_mark drained; /* before the last read that left the queue empty */
	bool lost;		   /* events, since lost_since */
	struct watch_mark lost_since;
	unsigned long losses;
	uint64_t relist_ms; /* when a loss is to be answered */
	uint64_t relist_not_before_ms;
	uint64_t relist_began_ms; /* 0: none is under way; as the next two */
	uint64_t poll_began_ms;
	uint64_t poll_last_ms;
	uint64_t poll_ms; /* when the nodes without a watch are next looked at */

	struct watch_output *outputs;
	size_t n_outputs;
	size_t drive_events; /* as many end a drive: WATCH_DRIVE_EVENTS, fewer in tests */
	size_t outputs_capacity;

	char *path; /* watch_node_path's */
	size_t path_capacity;
	struct fs_owners owners;
	struct arena arena; /* of entries being read */
};

/*
 * A source without trees. Borrows all three. 0 or -errno: -EMFILE where the user has no inotify
 * instance left.
 */
int watch_source_new(struct watch_memory *memory, struct watch_mounts *mounts,
		     struct user_db *users, struct watch_source **ret);

/*
 * Frees it with all that is on it. Can take long (the kernel waits for its readers when watches
 * go): on a worker.
 */
void watch_source_free(struct watch_source *source);

/*
 * Begins to watch; takes the tree. It is `starting` until its directories are all watched, and
 * `silent` until the owner says otherwise.
 */
void watch_source_add(struct watch_source *source, struct watch_tree *tree);

/* Stops watching; outputs of the tree are dropped. The tree is freed when its last node is. */
void watch_source_remove(struct watch_source *source, struct watch_tree *tree);

/* See the top of this file. */
enum watch_drive watch_source_drive(struct watch_source *source, bool on_worker);

/* Milliseconds until a drive is due although the kernel says nothing; -1: never. */
int64_t watch_source_due_ms(const struct watch_source *source, uint64_t now_ms);

/* Bytes the kernel has given and will have given when what is in its queue now was read; and how
 * many of them have been applied. For what has to come behind earlier events. */
uint64_t watch_source_queued_bytes(struct watch_source *source);
uint64_t watch_source_applied_bytes(const struct watch_source *source);

/* Whether a directory is being looked at, or is to be before the next event. */
bool watch_source_is_looking(const struct watch_source *source);

/*
 * For pauses that may be long: gives up the open directories of a look that is under way, which
 * goes on where it was; and does not wait for other halves of moves, which may hold up those who
 * are to take something before the pause can end. May have something to tell.
 */
void watch_source_rest(struct watch_source *source);

/* ---- for the files of the engine ---- */

/* Applies one event of the kernel's: watch/engine/follow.c. */
void watch_follow(struct watch_source *source, const struct inotify_record *record);

/* The halves of moves whose time has come, or all of them: their other half is not to come. */
void watch_follow_expire(struct watch_source *source, uint64_t now_ms, bool all);

/* Forgets the halves of a tree. On the loop. */
void watch_follow_forget(struct watch_source *source, const struct watch_tree *tree);

/*
 * Tells an event of the name `name` in the node's directory (NULL: of the directory itself), where
 * someone listens. Returns it (borrowed until the next call), or NULL.
 */
struct watch_event *watch_tell(struct watch_node *node, enum watch_event_type type,
			       const char *name, size_t n, bool is_dir);

/* "Look again": WRITE of the directory itself, for what could not be told. */
void watch_tell_look_again(struct watch_node *node);

/* The watched directory itself is gone: REMOVE or RENAME of ".", and nothing more. */
void watch_tell_gone(struct watch_tree *tree, enum watch_event_type type);

/* Adds an output. Takes the references. */
void watch_source_output(struct watch_source *source, enum watch_output_kind kind,
			 struct watch_tree *tree, struct watch_event *event,
			 struct watch_event *first);

#endif
