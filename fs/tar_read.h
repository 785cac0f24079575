/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An incremental parser for tar archives: bytes in, events out. The pieces in which the bytes come
 * affect only how contents are split into TAR_READ_DATA events. Reads ustar, pax, and GNU's long
 * names and large numbers; refuses sparse files. File contents are not buffered.
 *
 *	while ((event = tar_read_next(t, &p, &n)) != TAR_READ_MORE)
 *		switch (event) {
 *		case TAR_READ_ENTRY:	 t->entry is valid until after TAR_READ_ENTRY_END
 *		case TAR_READ_DATA:	 t->data, t->data_bytes are valid until the next call
 *		case TAR_READ_ENTRY_END: ends each entry, also one without contents
 *		case TAR_READ_END:	 the rest of the input is ignored
 *		case TAR_READ_ERROR:	 t->error is the reason
 *		}
 */
#ifndef FS_TAR_READ_H
#define FS_TAR_READ_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/tar.h"

/* The limit for the pax records before one entry, and for a long name; exceeding it is an error. */
#define TAR_EXTENSION_MAX_BYTES (64 * 1024)

enum tar_read_event {
	TAR_READ_MORE, /* the input is used up */
	TAR_READ_ENTRY,
	TAR_READ_DATA,
	TAR_READ_ENTRY_END,
	TAR_READ_END,
	TAR_READ_ERROR, /* each later call returns it again */
};

enum tar_read_state {
	TAR_STATE_HEADER,
	TAR_STATE_EXTENSION, /* the contents of a header for the next entry */
	TAR_STATE_SKIP,	     /* contents that are ignored */
	TAR_STATE_DATA,
	TAR_STATE_ENTRY_ENDED, /* TAR_READ_ENTRY_END was returned; the next call frees the names */
	TAR_STATE_PADDING,
	TAR_STATE_OVER,
	TAR_STATE_FAILED,
};

struct tar_read {
	struct tar_entry entry;
	const char *data;
	size_t data_bytes;
	const char *error; /* static text */

	/* The fields below are private. */
	enum tar_read_state state;
	struct tar_header header;
	size_t header_bytes;
	char extension_type;
	char *extension; /* the contents of the current extended header */
	size_t extension_bytes;
	uint64_t left; /* bytes of contents still to come */
	unsigned padding;
	/* Values from extended headers for the next entry; NULL and false: not given. */
	char *name, *link;
	bool has_size, has_mtime;
	uint64_t size;
	int64_t mtime_s;
	uint32_t mtime_ns;
	char short_name[257], short_link[101];
};

/* A parser that is all zero is ready for use. This frees its memory. */
void tar_read_clear(struct tar_read *t);

/* Parses up to the next event. Advances *p and reduces *n by the bytes it has used. */
enum tar_read_event tar_read_next(struct tar_read *t, const char **p, size_t *n);

/*
 * Reports the end of the input. Returns 0, or -1 with t->error if the archive is truncated. An
 * archive without the two zero blocks at its end is accepted, as tar(1) does.
 */
int tar_read_finish(struct tar_read *t);

#endif
