/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unpacks a tar archive into a directory, as a user. On a worker:
 *
 *	fs_untar_init → fs_untar_bytes … → fs_untar_finish → fs_untar_clear
 *
 * Nothing outside the directory is created or changed, whatever the archive contains and whatever
 * other processes do to the tree meanwhile: each path is resolved by openat2(2) with
 * RESOLVE_BENEATH; names that are absolute or contain "..", and links that lead out, are refused. A
 * symbolic link may contain ".." only as leading components: from the link's own directory, whose
 * path contains no link, those stay below the top, and no later component can climb again.
 *
 * An entry replaces an existing file or link with the same name; existing directories keep owner
 * and mode. Each new entry belongs to the user. Devices are created only if the user is root.
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
	char *parent_path;  /* the cleaned path of `parent`, "" for the top */
	bool parent_real;   /* parent_path contains no link */
	bool no_nodes;	    /* the caller sets it: devices and FIFOs are refused, also to root */
	mode_t mask;	    /* the caller sets it: bits that the mode of no new entry has */
	int fd;		    /* the file that is written, or -1 */
};

/* Takes ownership of `top`, an open directory; borrows `err`. */
void fs_untar_init(struct fs_untar *u, int top, uid_t uid, gid_t gid, struct error *err);

/*
 * Unpacks the next bytes of the archive. 0, or -1 with *u->err: 400 if the archive is at fault, 507
 * if space is used up, else 500.
 */
int fs_untar_bytes(struct fs_untar *u, const char *p, size_t n);

/* Reports the end of the archive. `sync`: also writes the files to the disk. 0 or -1, as above. */
int fs_untar_finish(struct fs_untar *u, bool sync);

void fs_untar_clear(struct fs_untar *u);

#endif
