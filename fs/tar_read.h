/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tar archive as it comes: bytes in, events out, and the same events however the bytes are cut.
 * ustar, pax, and GNU's long names and large numbers; sparse files are refused. No file is held in
 * memory.
 *
 *	while ((event = tar_read_next(t, &p, &n)) != TAR_READ_MORE)
 *		switch (event) {
 *		case TAR_READ_ENTRY:	 t->entry: until TAR_READ_ENTRY_END
 *		case TAR_READ_DATA:	 t->data, t->data_bytes: until the next call
 *		case TAR_READ_ENTRY_END: comes for every entry
 *		case TAR_READ_END:	 the rest of the input does not matter
 *		case TAR_READ_ERROR:	 t->error
 *		}
 */
#ifndef FS_TAR_READ_H
#define FS_TAR_READ_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/tar.h"

/* The records before one entry, or a long name: more is an error. */
#define TAR_EXTENSION_MAX_BYTES (64 * 1024)

enum tar_read_event {
	TAR_READ_MORE, /* the piece is used up */
	TAR_READ_ENTRY,
	TAR_READ_DATA,
	TAR_READ_ENTRY_END,
	TAR_READ_END,
	TAR_READ_ERROR, /* from here on always */
};

enum tar_read_state {
	TAR_STATE_HEADER,
	TAR_STATE_EXTENSION, /* the contents of a header for the next entry */
	TAR_STATE_SKIP,	     /* contents that do not matter */
	TAR_STATE_DATA,
	TAR_STATE_ENTRY_ENDED, /* told; the entry's names last until the next call */
	TAR_STATE_PADDING,
	TAR_STATE_OVER,
	TAR_STATE_FAILED,
};

struct tar_read {
	struct tar_entry entry;
	const char *data;
	size_t data_bytes;
	const char *error; /* static text */

	/* The rest is the parser's own. */
	enum tar_read_state state;
	struct tar_header header;
	size_t header_bytes;
	char extension_type;
	char *extension; /* the contents of the header in work */
	size_t extension_bytes;
	uint64_t left; /* of the contents */
	unsigned padding;
	/* What extensions said of the next entry; NULL and false: nothing. */
	char *name, *link;
	bool has_size, has_mtime;
	uint64_t size;
	int64_t mtime_s;
	uint32_t mtime_ns;
	char short_name[257], short_link[101];
};

/* All zero is ready. */
void tar_read_clear(struct tar_read *t);

/* Takes bytes from *p, *n, which are moved on, up to the next event. */
enum tar_read_event tar_read_next(struct tar_read *t, const char **p, size_t *n);

/*
 * The input is over: 0, or -1 with t->error where that comes too early. (An archive without the
 * blocks that should be its end is taken, as tar(1) takes it.)
 */
int tar_read_finish(struct tar_read *t);

#endif
