/*
 * The watched directories below one root, as a tree of nodes.
 *
 * A node is one directory: its watch and the names in it. It is found from above by its name, in
 * its parent's set of names, and from the kernel by its watch descriptor. A directory that is
 * moved keeps its node, and with it everything below.
 *
 * Everything here belongs to the source (watch/engine/source.h) that the tree is on, and to the thread
 * that owns it at the time.
 */
#ifndef WATCH_ENGINE_TREE_H
#define WATCH_ENGINE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "watch/engine/gap.h"
#include "watch/engine/names.h"

struct watch_patterns;
struct watch_source;
struct watch_tree;

/* When a node is to be looked at again. */
enum watch_attention {
	WATCH_LOOK_NOW,	  /* before the next event */
	WATCH_LOOK_QUIET, /* when there is no event left: one of those may explain */
	WATCH_LOOK_POLL,  /* it has no watch: every now and then */
	WATCH_LOOK_NONE,
};

struct watch_node {
	struct watch_tree *tree;
	struct watch_node *parent;  /* NULL: the top, or a node that hangs in no tree */
	struct watch_node *same_wd; /* watch/engine/wdmap.h */
	TAILQ_ENTRY(watch_node) link;
	struct watch_names names;
	dev_t dev;
	ino_t ino;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	uint32_t place;		/* of its name among the parent's */
	uint32_t replaced_name; /* the last event moved something over this name (hash); 0: none */
	int wd;			/* -1: not watched */
	uint8_t attention;
	bool listed : 1;     /* its names have been read, and told where someone listens */
	bool complete : 1;   /* the names of files are all remembered */
	bool cut : 1;	     /* some of its directories found no room */
	bool stale : 1;	     /* its names must be read again */
	bool unseen : 1;     /* it has no watch, and missed its turn to be looked at */
	bool unsure : 1;     /* clients may have seen names in it that were never told */
	bool attr_known : 1; /* mode, uid and gid are what was told last */
	bool replaced : 1;   /* perhaps: another directory was moved to its name */
	bool garbage : 1;
};

TAILQ_HEAD(watch_nodes, watch_node);

struct watch_tree {
	TAILQ_ENTRY(watch_tree) link;
	struct watch_source *source;
	char *path;			      /* absolute, without links */
	const struct watch_patterns *ignored; /* names that are not there for it; may be NULL */
	bool recursive;
	bool network; /* goes into network file systems */
	struct watch_node *top;
	dev_t dev; /* of the directory that was asked for */
	ino_t ino;
	size_t n_nodes;		  /* garbage included */
	struct watch_mark polled; /* when its directories without a watch were looked at last */
	struct watch_mark polled_before; /* and the time before that */
	struct watch_mark lost_since;	 /* with relist */

	bool starting;	   /* the first look is not over */
	int start_error;   /* -errno of it */
	bool silent;	   /* nobody listens yet */
	bool relist;	   /* events were lost */
	bool look_again;   /* was told, of some directory */
	bool told_dirs;	   /* some were: clients may have looked there for themselves */
	bool gone;	   /* the directory itself is: nothing more is told */
	bool removed;	   /* by watch_source_remove */
	bool want_entries; /* events carry EntryInfo */
	bool want_moves;   /* a move of a file, too, is told as such */
	void *user;	   /* whoever made it */
};

/* A tree of one node that is to be looked at; on no source yet. Copies the path. */
struct watch_tree *watch_tree_new(const char *path, dev_t dev, ino_t ino);

/* Frees a tree without nodes. */
void watch_tree_free(struct watch_tree *tree);

/*
 * A node for the name at `place` of `parent`, or for the top (NULL). NULL where the memory of all
 * trees is used up.
 */
struct watch_node *watch_node_new(struct watch_tree *tree, struct watch_node *parent,
				  uint32_t place);

/* Whether it hangs in its tree. */
bool watch_node_attached(const struct watch_node *node);

/* Takes the node from below its parent, whose name for it is the caller's to remove. */
void watch_node_detach(struct watch_node *node);

/* Hangs a detached node in under a name without a node. */
void watch_node_attach(struct watch_node *node, struct watch_node *parent, uint32_t place);

/*
 * The path of the name `name` in the node's directory (NULL: of the directory), below the tree's
 * ("" for the top itself) or absolute. NULL where the node hangs in no tree. Borrowed from the
 * source until the next call.
 */
const char *watch_node_path(const struct watch_node *node, const char *name, size_t n,
			    bool absolute, size_t *ret_bytes);

/* Has the node looked at; one that is waiting already is looked at the sooner of the two times. */
void watch_node_look(struct watch_node *node, enum watch_attention when);

/* Takes it off its list. */
void watch_node_looked(struct watch_node *node);

/* Makes wd the node's watch; true where it was another one before. -1: none. */
bool watch_node_bind(struct watch_node *node, int wd);

/*
 * Adds a name that is not there. WATCH_NAME_NONE where it finds no room; for a file the node then
 * remembers no file at all.
 */
uint32_t watch_node_add_name(struct watch_node *node, const char *name, size_t n, bool is_dir);

/* Removes a name; the node it has, if any, is thrown away with all below it. */
void watch_node_remove_name(struct watch_node *node, uint32_t place);

/* Forgets all names, and throws away what is below. */
void watch_node_forget(struct watch_node *node);

/* Compacts the names where that is worth it. */
void watch_node_tidy(struct watch_node *node);

/* Throws a node away that hangs nowhere: it is freed, bit by bit, by watch_tree_collect. */
void watch_node_discard(struct watch_node *node);

/* Frees up to `max` of the source's discarded nodes; true where there are more. */
bool watch_tree_collect(struct watch_source *source, size_t max);

#endif
