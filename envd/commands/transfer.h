/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transfers files of a guest by GET and POST /files. Single files work with any envd. Trees are tar
 * archives, which only this envd supports.
 */
#ifndef ENVD_TRANSFER_H
#define ENVD_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "envd/client/client.h"

#define TRANSFER_PIECE_BYTES  65536
#define TRANSFER_RESUME_BYTES (1 << 20) /* smaller uploads are made in one piece */
#define TRANSFER_RESUME_MS    30000	/* how long a broken transfer waits for the guest */
#define TRANSFER_RETRY_MS     200

/* The progress on a terminal: a line on stderr that is written over and over. */
struct progress {
	bool shown;	      /* the caller sets it */
	uint64_t done, total; /* bytes; total 0: unknown */
	uint64_t printed_ms;
};

/* Removes the line of the progress from the terminal. */
void progress_clear(struct progress *p);

/*
 * Writes a file of the guest to *fd. If *fd is -1, the local file is opened, and truncated, after
 * the guest has answered with the file: a refused download changes nothing. The caller closes *fd
 * in any case. After a broken connection, transfer_get connects again and continues at the offset,
 * unless the file has changed meanwhile. 0, or -1 with the error; the error of an open or a write
 * has the code ERROR_ABORTED.
 */
int transfer_get(const struct client *c, const char *path, int *fd, const char *local,
		 struct progress *p, struct error *err);

/*
 * Unpacks a directory of the guest into the open directory `top`. Takes ownership of `top`. No new
 * entry gets a bit of `mask` in its mode (umask(2)).
 */
int transfer_get_tree(const struct client *c, const char *path, int top, mode_t mask,
		      struct progress *p, struct error *err);

/*
 * Writes all bytes of a descriptor to a file of the guest. `size` is the size of a regular file;
 * -1: unknown. With a size, the upload continues after a broken connection if the daemon supports
 * that.
 */
int transfer_put(const struct client *c, const char *path, int fd, int64_t size, struct progress *p,
		 struct error *err);

/*
 * Sends the open directory `top` to the directory `path` of the guest. Takes ownership of `top`.
 * The files keep their modes and times, and belong to the user.
 */
int transfer_put_tree(const struct client *c, const char *path, int top, struct progress *p,
		      struct error *err);

/* As transfer_put, with the mode and time of the file, under the name `name` in `directory`. */
int transfer_put_entry(const struct client *c, const char *directory, const char *name, int fd,
		       struct progress *p, struct error *err);

#endif
