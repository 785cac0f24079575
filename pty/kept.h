/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kept output: the last bytes that a process wrote, for readers that come later
 * (X-Envd-Keep-Output, docs/processes.md).
 *
 * The bytes of all outputs lie in one ring, in the order they were read, as records of a 4-byte
 * header and data. A reader has a cursor. It follows the records until it has caught up with the
 * process; while it has not, the process' outputs are not read, so that nothing is overwritten
 * before the reader gets it. Offsets count the bytes of one output since the start of the process.
 *
 * The ring is memory and not a spool file: copying a chunk of 32 KiB into it takes 0.9 µs; writing
 * the chunk to an unlinked file, with a hole punched behind the window, takes 14 to 24 µs on tmpfs
 * and 11 to 28 µs on ext4 (a two-core virtual machine under load). The ring grows with what is
 * kept, and is charged to BUDGET_CLASS_KEPT before it grows. If the budget has no room, older bytes
 * are dropped earlier: a reader sees from its offsets that they are gone. Loop only.
 */
#ifndef PTY_KEPT_H
#define PTY_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "pty/message.h"

/* The largest X-Envd-Keep-Output. */
#define KEPT_MAX_BYTES (64u * 1024 * 1024)

struct kept {
	unsigned refs;
	size_t max_bytes; /* of data */
	struct budget_share share;
	uint8_t *ring;
	size_t capacity;
	/*
	 * Positions in the ring count all bytes that ever were in it; modulo capacity is the place.
	 */
	uint64_t first, next; /* of the first record, and behind the last */
	uint64_t last;	      /* of the last record's header; valid if first < next */
	size_t data_bytes;
	uint64_t first_offset[OUTPUT_KINDS]; /* of the first byte kept of each output */
};

/* Where a reader is. */
struct kept_cursor {
	uint64_t at;		       /* the header of its record */
	uint32_t done;		       /* bytes of the record that it has had */
	uint64_t offset[OUTPUT_KINDS]; /* of its next byte of each output */
	uint64_t from[OUTPUT_KINDS];   /* bytes before these offsets are left out */
};

/* Keeps max_bytes, 1 … KEPT_MAX_BYTES. Borrows the budget, which may be NULL. */
struct kept *kept_new(struct budget *budget, size_t max_bytes);
struct kept *kept_ref(struct kept *kept);
void kept_unref(struct kept *kept); /* NULL is fine */

/*
 * Adds bytes and drops the oldest ones above max_bytes. With `all` nothing is dropped: for the last
 * bytes of a process whose readers have not caught up.
 */
void kept_add(struct kept *kept, enum output_kind kind, const uint8_t *data, size_t n, bool all);

/* Sets the offsets of the first bytes to come, before anything is added: kept by another daemon. */
void kept_set_offsets(struct kept *kept, const uint64_t first_offset[OUTPUT_KINDS]);

/* Gives back memory that is not needed: nothing will be added any more. */
void kept_trim(struct kept *kept);

/* A cursor that begins at from[kind] of each output, or at the first byte that is still kept. */
void kept_begin(const struct kept *kept, const uint64_t from[OUTPUT_KINDS],
		struct kept_cursor *ret);

/*
 * The next piece of at most max_bytes, in place. 1, and the cursor is behind it; 0: the cursor has
 * caught up; -1: the piece was dropped. The bytes are valid until the next kept_add.
 */
int kept_next(const struct kept *kept, struct kept_cursor *cursor, size_t max_bytes,
	      enum output_kind *ret_kind, const uint8_t **ret_data, size_t *ret_n);

#endif
