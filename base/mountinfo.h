/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/self/mountinfo (proc_pid_mountinfo(5)): the table of mounts. Reading it touches no mounted
 * file system, so a server that does not answer can't hang the reader.
 */
#ifndef BASE_MOUNTINFO_H
#define BASE_MOUNTINFO_H

#include <stdbool.h>

/* One line of the table. */
struct mountinfo {
	char *path;	  /* the mount point, unescaped */
	const char *type; /* "ext4", "nfs", "fuse.sshfs" */
};

/* The maximum size of the table that is read. The kernel's default is 100,000 mounts at most. */
#define MOUNTINFO_MAX_BYTES (16u * 1024 * 1024)

/* Reads the table. Returns 0 and memory in *ret that the caller frees, or -errno. */
int mountinfo_read(char **ret);

/* Undoes the table's escapes in place: space, tab, newline and backslash are "\ooo" in octal. */
void mountinfo_unescape(char *text);

/*
 * Splits a line, without its newline, in place: "36 35 98:0 /root /mount/point options [optional …]
 * - type source options". The results point into the line. Returns false if the line is invalid.
 */
bool mountinfo_parse(char *line, struct mountinfo *ret);

/* Returns true if exactly this path is a mount point. Does not access the path itself. */
bool mountinfo_has(const char *path);

#endif
