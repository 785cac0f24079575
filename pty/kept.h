/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kept output: the last bytes that a process wrote, for later readers (X-Envd-Keep-Output,
 * docs/processes.md).
 *
 * The bytes of all outputs lie in one ring, in the order in which they were read, as records of a
 * 4-byte header and data. Each reader has a cursor and follows the records until it has caught up
 * with the process. Until then the daemon does not read the outputs of the process, so that no
 * record is overwritten before the reader has received it. Offsets count the bytes of one output
 * since the start of the process.
 *
 * The ring is in memory and not in a file: copying a chunk of 32 KiB into it takes 0.9 µs; writing
 * the chunk to an unlinked file and punching a hole behind the window takes 14 to 24 µs on tmpfs
 * and 11 to 28 µs on ext4 (a two-core virtual machine under load). The ring grows with its content,
 * a large one without copying (mremap(2), by realloc), and is charged to BUDGET_CLASS_KEPT before
 * it grows. If the budget has no room, older bytes are dropped earlier; a reader recognises this
 * from its offsets. Loop only.
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

/*
 * The maximum number of records, i.e. of changes between the outputs. The loop skips the records
 * before a reader's offset in one go, and an upgrade describes each in 72 bytes: the largest ring
 * has room for 20 million records of one byte.
 */
#define KEPT_MAX_RECORDS ((size_t)256 * 1024)

/*
 * A ring with this much content is read into directly, at most KEPT_READ_BYTES at a time. A smaller
 * ring stays in the processor's cache, where copying is cheap, and has no room for such a read.
 */
#define KEPT_DIRECT_BYTES ((size_t)256 * 1024)
#define KEPT_READ_BYTES	  ((size_t)64 * 1024)

struct kept {
	unsigned refs;
	size_t max_bytes; /* of data */
	struct budget_share share;
	uint8_t *ring;
	size_t capacity;
	/*
	 * Positions count all bytes ever added to the ring; the index in the ring is the position
	 * minus `origin`, modulo `capacity`.
	 */
	uint64_t origin;
	uint64_t first, next; /* positions of the first record, and of the end of the last */
	uint64_t last;	      /* position of the last record's header; valid if first < next */
	size_t data_bytes;
	size_t n_records;
	uint64_t first_offset[OUTPUT_KINDS]; /* offset of the first kept byte of each output */
};

/* The position of a reader. */
struct kept_cursor {
	uint64_t at;		       /* position of the header of its record */
	uint32_t done;		       /* bytes of the record that it has received */
	uint64_t offset[OUTPUT_KINDS]; /* offset of its next byte in each output */
	uint64_t from[OUTPUT_KINDS];   /* bytes before these offsets are skipped */
};

/*
 * Creates an object that keeps max_bytes, 1 … KEPT_MAX_BYTES. Borrows the budget, which may be
 * NULL.
 */
struct kept *kept_new(struct budget *budget, size_t max_bytes);
struct kept *kept_ref(struct kept *kept);
void kept_unref(struct kept *kept); /* NULL is fine */

/*
 * Adds bytes, and drops the oldest ones above max_bytes. `all`: drops nothing, for the last bytes
 * of a process whose readers have not caught up.
 */
void kept_add(struct kept *kept, enum output_kind kind, const uint8_t *data, size_t n, bool all);

/*
 * Instead of kept_add: returns memory in the ring to read the next bytes of an output into, at
 * least KEPT_READ_BYTES / 2, or NULL if the ring is small or has no room. Call kept_commit with the
 * number of bytes that were read, unless it is 0; the bytes are valid until the next call that adds
 * bytes. With 1 MiB kept, the rate of output in JSON is 0.98 of the rate without keeping; it was
 * 0.91 when each chunk was copied, which evicts what the daemon and the kernel work with from the
 * processor's cache (docs/performance.md).
 */
uint8_t *kept_reserve(struct kept *kept, enum output_kind kind, size_t *ret_bytes);
void kept_commit(struct kept *kept, enum output_kind kind, size_t n);

/*
 * Sets the offsets of the next bytes, for an output that an earlier daemon kept. Call it before
 * kept_add.
 */
void kept_set_offsets(struct kept *kept, const uint64_t first_offset[OUTPUT_KINDS]);

/*
 * Gives unused memory back, of a large ring by pages, without copying. Call it when no more bytes
 * will be added.
 */
void kept_trim(struct kept *kept);

/* Sets a cursor to from[kind] of each output, or to the first byte that is still kept. */
void kept_begin(const struct kept *kept, const uint64_t from[OUTPUT_KINDS],
		struct kept_cursor *ret);

/*
 * Gets the next piece, of at most max_bytes, without copying. Returns 1 and advances the cursor; 0
 * if the cursor has caught up; -1 if the piece was dropped. The bytes are valid until the next
 * kept_add.
 */
int kept_next(const struct kept *kept, struct kept_cursor *cursor, size_t max_bytes,
	      enum output_kind *ret_kind, const uint8_t **ret_data, size_t *ret_n);

#endif
