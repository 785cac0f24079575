/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies a file or a directory tree with all that mv(1) keeps across file systems: mode, owner,
 * times, extended attributes, holes, links as links. (Two names of one file become two files.) On a
 * worker, in steps:
 *
 *	fs_copy_begin → fs_copy_step until it returns true → fs_copy_clear
 *
 * The caller removes an incomplete copy. A tree with another file system mounted inside is refused,
 * because the tree could not be removed at its old place. A file that changes while it is copied is
 * refused, too.
 */
#ifndef FS_COPY_H
#define FS_COPY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fs/dirs.h"
#include "fs/walk.h"

struct fs_copy_level;

enum fs_copy_state {
	FS_COPY_IDLE,
	FS_COPY_ENTRIES, /* the next step takes the next entry of the tree */
	FS_COPY_FILE,	 /* the next step copies a piece of the file */
	FS_COPY_ENDED,
};

struct fs_copy {
	int error;	     /* 0, or the -errno that ended the copy early */
	size_t memory_bytes; /* memory that the names read ahead take at present */

	/* The fields below are private. */
	enum fs_copy_state state;
	bool is_tree;
	struct fs_walk walk;
	struct fs_dirs to;	      /* the directories that are written */
	struct fs_copy_level *levels; /* one for each level of `to` */
	size_t levels_capacity;
	dev_t dev;
	int in, out; /* the file that is being copied, or -1 */
	struct stat st;
	off_t offset;
};

/* Begins to copy from_name in `from` to to_name in `to`, which must not exist. Borrows both. */
void fs_copy_begin(struct fs_copy *copy, int from, const char *from_name, int to,
		   const char *to_name);

/* Copies for about max_ms. Returns true if the copy has ended; copy->error is its result. */
bool fs_copy_step(struct fs_copy *copy, uint64_t max_ms);

void fs_copy_clear(struct fs_copy *copy);

#endif
