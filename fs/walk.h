/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A walk through a directory tree: a directory before what is in it, names in lexical (byte)
 * order, links not followed. For ListDir and for tar streams; on a worker.
 *
 *	while ((event = fs_walk_next(walk)) != FS_WALK_END)
 *		if (event == FS_WALK_ENTRY)
 *			… walk->name in fs_walk_dirfd(walk), by the path walk->relative …
 *			if (it is a directory to go into)
 *				fs_walk_enter(walk);
 *
 * What vanishes meanwhile is skipped.
 */
#ifndef FS_WALK_H
#define FS_WALK_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/dirs.h"

/* Directory bytes that are read before the caller is asked for leave to go on. */
#define FS_WALK_READ_BYTES (1024 * 1024)

enum fs_walk_event {
	FS_WALK_ENTRY,
	FS_WALK_PAUSE, /* a directory is large: look at memory_bytes, the clock, a cancellation */
	FS_WALK_END,
	FS_WALK_ERROR, /* a directory can't be read: `error` */
};

struct fs_walk_names;

struct fs_walk {
	/* Of the entry that fs_walk_next came to last. Borrowed until the next call. */
	const char *name;
	const char *relative; /* the path below the top, its elements joined by slashes */
	unsigned char type;   /* DT_REG, … as getdents64 told, DT_UNKNOWN where it does not */
	size_t depth;	      /* 1 for an entry of the top */
	size_t memory_bytes;  /* what the names take that are held for now */
	unsigned long turns;  /* another number wherever fs_walk_dirfd is another directory */
	int error;	      /* -errno */

	/* The rest is the walk's own. */
	struct fs_dirs dirs;
	struct fs_walk_names *names; /* of each level */
	size_t names_capacity;
	char *path;
	size_t path_capacity;
	char *buffer; /* for getdents64 */
	bool reading; /* the last level's names are not complete */
	bool ended;
};

/* Begins in an open directory. Takes fd, also on failure. 0 or -errno. */
int fs_walk_init(struct fs_walk *walk, int fd);
void fs_walk_clear(struct fs_walk *walk);

enum fs_walk_event fs_walk_next(struct fs_walk *walk);

/*
 * Goes into the current entry, a directory: what is in it comes next, and `name` and `relative`
 * are no more. 0 or -errno: -ENOENT, -ENOTDIR and -ELOOP (a link) where it is none any more.
 */
int fs_walk_enter(struct fs_walk *walk);

/* The directory of the current entry. Borrowed. */
int fs_walk_dirfd(const struct fs_walk *walk);

#endif
