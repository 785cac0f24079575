/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look at directories: places watches, reads names, emits what is different from what is
 * remembered, and goes on into the directories below.
 *
 * A look at a node finds out which directory the node's name leads to. The names of the directory
 * are read and compared if it is another directory than the node's, if they were never read, or if
 * they are stale; and so are the names of new directories below. A relisting, after an overflow,
 * reads everything again.
 *
 * A look is made in steps of a few system calls each. Between two steps nothing else may change
 * the tree but watch_scan_abort and watch_scan_rest. On a worker.
 */
#ifndef WATCH_ENGINE_SCAN_H
#define WATCH_ENGINE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct watch_node;
struct watch_source;
struct watch_tree;
struct watch_scan_frame;

/* Directories held open on the way down. Those further up are opened again on the way back. */
#define WATCH_SCAN_OPEN_MAX 32

struct watch_scan {
	struct watch_tree *tree; /* NULL: no look is under way */
	bool relist;
	int64_t since_ns; /* a relisting emits what has changed since then */
	bool mounts_below;
	struct watch_scan_frame *frames; /* from the first node down to the current one */
	size_t n_frames;
	size_t capacity;
	char *buffer; /* for getdents64(2) */
};

/*
 * Begins a look at a node, which waits for none. `since_ns`: as in watch/engine/overflow.h. A node
 * that can't be looked at now becomes WATCH_MISSED or WATCH_STALE.
 */
void watch_scan_begin(struct watch_source *source, struct watch_node *node, bool relist,
		      int64_t since_ns);

/* Makes the next step. */
void watch_scan_step(struct watch_source *source);

/* Ends the look before its time. */
void watch_scan_abort(struct watch_source *source);

/* Closes the directories that are open. The next step opens them again. */
void watch_scan_rest(struct watch_source *source);

#endif
