/*
 * Looking at directories: placing watches, reading names, telling what is different from what is
 * remembered, and going on into the directories below.
 *
 * A look at a node finds out which directory its name leads to by now; if that is another one than
 * the node's, or the node's names were never read or are stale, they are read and compared, and
 * so are those of the directories below that are new. A relisting reads everything again, after a
 * loss of events.
 *
 * A look goes on in steps, each a few system calls; between two of them nothing else may change
 * the tree but watch_scan_abort and watch_scan_rest. On a worker.
 */
#ifndef WATCH_ENGINE_SCAN_H
#define WATCH_ENGINE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct watch_node;
struct watch_source;
struct watch_tree;
struct watch_scan_frame;

/* Directories held open on the way down; those above are opened again on the way up. */
#define WATCH_SCAN_OPEN_MAX 32

struct watch_scan {
	struct watch_tree *tree; /* NULL: no look is under way */
	int64_t since_ns;	 /* a relisting tells what has changed since then */
	bool mounts_below;
	struct watch_scan_frame *frames; /* from the first node down to the current */
	size_t n_frames;
	size_t capacity;
	char *buffer;		   /* of getdents64 */
};

/* Begins to look at a node. `since_ns`: as watch/engine/gap.h. */
void watch_scan_begin(struct watch_source *source, struct watch_node *node, bool relist,
		      int64_t since_ns);

/* Goes on. True while there is more to do. */
bool watch_scan_step(struct watch_source *source);

/* Ends a look before its time. */
void watch_scan_abort(struct watch_source *source);

/* Closes the directories that are open. They are opened again by the next step. */
void watch_scan_rest(struct watch_source *source);

#endif
