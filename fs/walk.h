/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks through a directory tree: a directory comes before its entries, names come in byte order,
 * links are not followed. Used on a worker by ListDir, by tar streams and by fs/copy.h.
 *
 *	while ((event = fs_walk_next(walk)) != FS_WALK_END)
 *		if (event == FS_WALK_ENTRY)
 *			… walk->name in fs_walk_dirfd(walk), by the path walk->relative …
 *			if (the entry is a directory to enter)
 *				fs_walk_enter(walk);
 *
 * A directory that vanishes during the walk ends early, without an error.
 */
#ifndef FS_WALK_H
#define FS_WALK_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/dirs.h"

/* Bytes of directory entries that the walk reads between two FS_WALK_PAUSE events. */
#define FS_WALK_READ_BYTES (1024 * 1024)

enum fs_walk_event {
	FS_WALK_ENTRY,
	FS_WALK_PAUSE, /* in a large directory: check memory_bytes, the clock, cancellation */
	FS_WALK_END,
	FS_WALK_ERROR, /* a directory can't be read; see `error` */
};

struct fs_walk_names;

struct fs_walk {
	/* The current entry, set by fs_walk_next. Borrowed until the next call. */
	const char *name;
	const char *relative; /* the path below the top, its elements joined by slashes */
	unsigned char type;   /* d_type from getdents64(2): DT_REG, …, or DT_UNKNOWN */
	size_t depth;	      /* 1 for an entry of the top */
	size_t memory_bytes;  /* memory that the names read ahead take at present */
	unsigned long turns;  /* changes whenever fs_walk_dirfd becomes another directory */
	int error;	      /* -errno */

	/* The fields below are private. */
	struct fs_dirs dirs;
	struct fs_walk_names *names; /* one for each level */
	size_t names_capacity;
	char *path;
	size_t path_capacity;
	char *buffer; /* for getdents64 */
	bool reading; /* the last level's names are not complete */
	bool ended;
};

/* Begins in an open directory. Takes ownership of fd, also on failure. 0 or -errno. */
int fs_walk_init(struct fs_walk *walk, int fd);
void fs_walk_clear(struct fs_walk *walk);

enum fs_walk_event fs_walk_next(struct fs_walk *walk);

/*
 * Enters the current entry, a directory: its entries come next. `name` and `relative` become
 * invalid. 0 or -errno: -ENOENT, -ENOTDIR or -ELOOP (a link) if the entry is not a directory any
 * more.
 */
int fs_walk_enter(struct fs_walk *walk);

/* The directory of the current entry. Borrowed. */
int fs_walk_dirfd(const struct fs_walk *walk);

#endif
