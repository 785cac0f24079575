/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unpacks a tar archive into a directory, as a user. On a worker:
 *
 *	fs_untar_init → fs_untar_bytes … → fs_untar_finish → fs_untar_clear
 *
 * Nothing is created or changed outside the directory, whatever the archive says and whatever
 * others do to the tree meanwhile: every path is resolved by openat2(2) with RESOLVE_BENEATH, names
 * that are absolute or contain ".." are refused, and so are links that lead out. A symbolic link
 * may contain ".." only as leading components: from the link's own directory, whose path contains
 * no link, those stay below the top, and no later component can climb again.
 *
 * An entry replaces a file or a link of its name; existing directories keep owner and mode. Every
 * new entry belongs to the user. Devices are created for root only.
 */
#ifndef FS_UNTAR_H
#define FS_UNTAR_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"
#include "fs/tar_read.h"

struct fs_untar {
	struct tar_read reader;
	struct error *err; /* borrowed */
	int top;	   /* the directory */
	uid_t uid;
	gid_t gid;
	struct arena arena; /* for one entry */
	int parent;	    /* the last entry's directory, or -1 */
	char *parent_path;  /* its cleaned path, "" for the top */
	bool parent_real;   /* no link is in it */
	int fd;		    /* the file that is written, or -1 */
};

/* Takes top, a directory; borrows `err`. */
void fs_untar_init(struct fs_untar *u, int top, uid_t uid, gid_t gid, struct error *err);

/* 0, or -1: u->err says why. 400 for what the archive is to blame for, 507, or 500. */
int fs_untar_bytes(struct fs_untar *u, const char *p, size_t n);

/* The archive is complete. `sync`: and on the disk. */
int fs_untar_finish(struct fs_untar *u, bool sync);

void fs_untar_clear(struct fs_untar *u);

#endif
