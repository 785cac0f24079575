/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scans directories: places watches, reads names, emits the differences from the remembered names,
 * and continues with the directories below.
 *
 * A scan of a node first opens the directory that the node's name leads to. The scan reads and
 * compares the names if this directory is not the node's, if the names were never read, or if they
 * are stale; it also reads the names of new directories below. A relisting, after an overflow,
 * reads everything again.
 *
 * A scan runs in steps of a few system calls each. Between two steps, only watch_scan_abort and
 * watch_scan_rest may change the tree. Call these functions on a worker.
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

/* The maximum number of open directories. Directories further up are reopened on the way back. */
#define WATCH_SCAN_OPEN_MAX 32

struct watch_scan {
	struct watch_tree *tree; /* NULL: no scan is in progress */
	bool relist;
	int64_t since_ns; /* a relisting emits changes since this time */
	bool mounts_below;
	struct watch_scan_frame *frames; /* from the first node down to the current one */
	size_t n_frames;
	size_t capacity;
	char *buffer; /* for getdents64(2) */
};

/*
 * Begins a scan of a node whose attention is WATCH_LOOK_NONE. `since_ns`: see
 * watch/engine/overflow.h. If the node can't be scanned now, it becomes WATCH_MISSED or
 * WATCH_STALE.
 */
void watch_scan_begin(struct watch_source *source, struct watch_node *node, bool relist,
		      int64_t since_ns);

/* Makes the next step. */
void watch_scan_step(struct watch_source *source);

/* Aborts the scan. */
void watch_scan_abort(struct watch_source *source);

/* Closes the open directories, before a long pause. The next step reopens them. */
void watch_scan_rest(struct watch_source *source);

#endif
