/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watched directories below one root, as a tree of nodes.
 *
 * A node is one directory: its inotify watch, and the names in it that were emitted to watchers. A
 * node is found by its name in its parent, and by its watch descriptor. A directory that moves
 * inside the tree keeps its node, with all nodes below.
 *
 * A tree belongs to one source (watch/engine/source.h). Only the thread that owns the source may
 * use the tree and its nodes.
 */
#ifndef WATCH_ENGINE_TREE_H
#define WATCH_ENGINE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "watch/engine/names.h"
#include "watch/engine/overflow.h"

struct watch_patterns;
struct watch_source;
struct watch_tree;

/* How far the names of a node can be trusted. */
enum watch_trust {
	WATCH_UNREAD,	 /* the names were never read */
	WATCH_MISSED,	 /* emitted, but not opened: emitted anew when it can be opened */
	WATCH_STALE,	 /* read, but changes were missed: they must be read again */
	WATCH_CURRENT,	 /* the names follow the kernel's events */
	WATCH_DISCARDED, /* the node belongs to no tree, and waits to be freed */
};

/* When a node must be scanned again. An earlier value replaces a later one. */
enum watch_attention {
	WATCH_LOOK_ALL,	  /* the top after an overflow: the whole tree is read again */
	WATCH_LOOK_NOW,	  /* before the next event */
	WATCH_LOOK_QUIET, /* when the kernel's queue is empty: a queued event may come first */
	WATCH_LOOK_POLL,  /* every WATCH_POLL_MS: it has no inotify watch */
	WATCH_LOOK_NONE,
};

/*
 * Special values of watch_node.replaced_name: the last event moved over no name; no event came
 * since the last listing, so the event before may have moved over any name.
 */
#define WATCH_REPLACED_NONE 0
#define WATCH_REPLACED_ANY  UINT32_MAX

struct watch_node {
	struct watch_tree *tree;
	struct watch_node *parent; /* NULL: the top, or a node outside of its tree */
	struct watch_node *chain;  /* watch/engine/wdmap.h */
	TAILQ_ENTRY(watch_node) link;
	struct watch_names names;
	dev_t dev;
	ino_t ino;
	mode_t mode; /* mode, uid and gid were emitted last; 0: unknown */
	uid_t uid;
	gid_t gid;
	uint32_t place;		/* place of its name in the parent's names */
	uint32_t replaced_name; /* hash of the name that the last event moved over; see below */
	int wd;			/* -1: not watched */
	uint8_t attention;	/* enum watch_attention */
	uint8_t trust;		/* enum watch_trust; written by watch_node_set_trust */
};

TAILQ_HEAD(watch_nodes, watch_node);

/* The state of a tree. Events are emitted only while it is LIVE. */
enum watch_tree_state {
	WATCH_TREE_STARTING, /* the first scan is in progress */
	WATCH_TREE_SILENT,   /* all directories are watched; no watcher is live yet */
	WATCH_TREE_LIVE,
	WATCH_TREE_GONE,    /* the watched directory was removed or moved away */
	WATCH_TREE_REMOVED, /* by watch_source_remove: freed with its last node */
};

struct watch_tree {
	TAILQ_ENTRY(watch_tree) link;
	struct watch_source *source;
	enum watch_tree_state state;	      /* written by watch_tree_set_state */
	char *path;			      /* absolute, without symbolic links */
	const struct watch_patterns *ignored; /* names that the tree leaves out; may be NULL */
	bool recursive;
	bool network;	   /* goes into network file systems */
	bool want_entries; /* events carry an EntryInfo */
	struct watch_node *top;
	dev_t dev; /* of the directory that the client requested */
	ino_t ino;
	int start_error;		 /* -errno of the first scan; 0: none */
	size_t n_nodes;			 /* including discarded ones */
	struct watch_mark polled;	 /* the last poll of directories without a watch */
	struct watch_mark polled_before; /* the poll before that */
	struct watch_mark lost_since;	 /* valid while the top waits for WATCH_LOOK_ALL */
	void *user;			 /* for the creator of the tree */
};

/*
 * Creates a tree that belongs to no source yet, with one node that must be scanned. Copies the
 * path.
 */
struct watch_tree *watch_tree_new(const char *path, dev_t dev, ino_t ino);

/* Frees a tree without nodes. */
void watch_tree_free(struct watch_tree *tree);

void watch_tree_set_state(struct watch_tree *tree, enum watch_tree_state state);

/*
 * Creates a node for the name at `place` in `parent`, or for the top (parent NULL). Returns NULL if
 * the memory of all trees is used up.
 */
struct watch_node *watch_node_new(struct watch_tree *tree, struct watch_node *parent,
				  uint32_t place);

void watch_node_set_trust(struct watch_node *node, enum watch_trust trust);

/* Returns true if the node is attached to its tree. */
bool watch_node_attached(const struct watch_node *node);

/* Detaches the node from its parent. The caller removes the node's name from the parent. */
void watch_node_detach(struct watch_node *node);

/* Attaches a detached node to a name that has no node. */
void watch_node_attach(struct watch_node *node, struct watch_node *parent, uint32_t place);

/*
 * Returns the path of `name` in the node's directory (NULL: of the directory itself), absolute or
 * relative to the tree's directory ("" for the top). NULL if the node is detached. Borrowed from
 * the source until the next call.
 */
const char *watch_node_path(const struct watch_node *node, const char *name, size_t n,
			    bool absolute, size_t *ret_bytes);

/* Schedules a scan of the node; if one is scheduled already, the earlier of the two times holds. */
void watch_node_look(struct watch_node *node, enum watch_attention when);

/* Cancels the scheduled scan of the node. */
void watch_node_looked(struct watch_node *node);

/*
 * Sets the node's watch to wd; -1: none. Removes its old watch from the kernel if no node uses it.
 */
void watch_node_bind(struct watch_node *node, int wd);

/*
 * Adds a name that the node does not have. Returns its place, or WATCH_NAME_NONE if there is no
 * room. If a file's name does not fit, the node drops the names of all its files, because an
 * incomplete set can't be compared.
 */
uint32_t watch_node_add_name(struct watch_node *node, const char *name, size_t n, bool is_dir);

/* Removes a name, and discards its node with all nodes below. */
void watch_node_remove_name(struct watch_node *node, uint32_t place);

/* Removes all names, and discards all nodes below. */
void watch_node_forget(struct watch_node *node);

/* Compacts the names if watch_names_wasteful. This changes their places. */
void watch_node_tidy(struct watch_node *node);

/* Discards a detached node. watch_tree_collect frees it. */
void watch_node_discard(struct watch_node *node);

/* Frees up to `max` discarded nodes of the source. Returns true if there are more. */
bool watch_tree_collect(struct watch_source *source, size_t max);

#endif
