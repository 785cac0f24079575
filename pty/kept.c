/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/kept.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"

/* A record's header: the kind in the upper two bits, the length in the others. */
#define HEADER_BYTES sizeof(uint32_t)
#define KIND_SHIFT   30
#define LENGTH_MASK  ((1u << KIND_SHIFT) - 1)

#define RING_MIN_BYTES 512

/*
 * Only a smaller ring is copied to give its unused memory back. Copying the 60 MB of one process
 * stopped the loop for 100 ms.
 */
#define TRIM_COPY_BYTES (64 * 1024)

/* Small alternating outputs make many records: extra room for their headers. */
#define RING_SLACK_BYTES 64

struct kept *kept_new(struct budget *budget, size_t max_bytes)
{
	struct kept *kept = mem_zalloc(sizeof(*kept));

	kept->refs = 1;
	kept->max_bytes = max_bytes;
	budget_share_init(&kept->share, budget, BUDGET_CLASS_KEPT);
	return kept;
}

struct kept *kept_ref(struct kept *kept)
{
	kept->refs++;
	return kept;
}

void kept_unref(struct kept *kept)
{
	if (!kept || --kept->refs > 0)
		return;
	budget_share_clear(&kept->share);
	free(kept->ring);
	free(kept);
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* ---- bytes of the ring ---- */

static size_t used(const struct kept *kept)
{
	return (size_t)(kept->next - kept->first);
}

static size_t ring_index(const struct kept *kept, uint64_t at)
{
	return (size_t)((at - kept->origin) % kept->capacity);
}

static void ring_write(struct kept *kept, uint64_t at, const void *data, size_t n)
{
	size_t place = ring_index(kept, at), first = min_size(n, kept->capacity - place);

	memcpy(kept->ring + place, data, first);
	memcpy(kept->ring, (const uint8_t *)data + first, n - first);
}

static void ring_read(const struct kept *kept, uint64_t at, void *data, size_t n)
{
	size_t place = ring_index(kept, at), first = min_size(n, kept->capacity - place);

	memcpy(data, kept->ring + place, first);
	memcpy((uint8_t *)data + first, kept->ring, n - first);
}

static uint32_t read_header(const struct kept *kept, uint64_t at)
{
	uint32_t header;

	ring_read(kept, at, &header, sizeof(header));
	return header;
}

static void write_header(struct kept *kept, uint64_t at, enum output_kind kind, uint32_t length)
{
	uint32_t header = (uint32_t)kind << KIND_SHIFT | length;

	ring_write(kept, at, &header, sizeof(header));
}

/* Copies the content to a ring of another size. */
static void ring_copy(struct kept *kept, size_t capacity)
{
	struct kept old = *kept;
	size_t n = used(kept), place, piece;
	uint64_t at;

	kept->ring = mem_alloc(capacity);
	kept->capacity = capacity;
	for (at = old.first; n > 0; at += piece, n -= piece) {
		place = ring_index(&old, at);
		piece = min_size(n, old.capacity - place);
		ring_write(kept, at, old.ring + place, piece);
	}
	free(old.ring);
}

/* Enlarges a ring whose content does not wrap. realloc(3) moves the pages of a large one. */
static bool ring_extend(struct kept *kept, size_t capacity)
{
	size_t begin = kept->capacity ? ring_index(kept, kept->first) : 0;

	if (begin + used(kept) > kept->capacity)
		return false;
	if (!budget_share_set(&kept->share, capacity))
		return false;
	kept->ring = mem_realloc(kept->ring, capacity);
	kept->capacity = capacity;
	kept->origin = kept->first - begin;
	return true;
}

/* Makes the ring larger. Returns false if the budget has no room. */
static bool ring_grow(struct kept *kept, size_t capacity)
{
	if (ring_extend(kept, capacity))
		return true;
	/* Both rings are charged while one is copied to the other. */
	if (!budget_share_take(&kept->share, capacity))
		return false;
	ring_copy(kept, capacity);
	budget_share_set(&kept->share, capacity);
	return true;
}

/* Gives the pages that lie entirely in a part of the ring back to the kernel. */
static void release_pages(const struct kept *kept, size_t begin, size_t end)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), ring = (uintptr_t)kept->ring;
	uintptr_t from = (ring + begin + page - 1) & ~(page - 1), to = (ring + end) & ~(page - 1);

	if (from < to)
		madvise(kept->ring + (from - ring), to - from, MADV_DONTNEED);
}

/* The unused part begins at `next`, and may wrap. */
static void release_unused(const struct kept *kept)
{
	size_t begin = ring_index(kept, kept->next), end = begin + kept->capacity - used(kept);

	release_pages(kept, begin, min_size(end, kept->capacity));
	if (end > kept->capacity)
		release_pages(kept, 0, end - kept->capacity);
}

/* ---- adding ---- */

/* Drops the oldest bytes of data, n of them or the first record, whichever is less. */
static void drop_oldest(struct kept *kept, size_t n)
{
	uint32_t header = read_header(kept, kept->first), length = header & LENGTH_MASK;
	enum output_kind kind = header >> KIND_SHIFT;
	bool is_last = kept->first == kept->last;

	if (n > length)
		n = length;
	kept->first_offset[kind] += n;
	kept->data_bytes -= n;
	kept->first += n;
	/* The header moves to the beginning of the remaining data. */
	if (n == length) {
		kept->first += HEADER_BYTES;
		kept->n_records--;
	} else {
		write_header(kept, kept->first, kind, length - (uint32_t)n);
	}
	if (is_last)
		kept->last = kept->first;
}

/*
 * Returns a capacity for `need` bytes. It doubles up to the capacity for max_bytes, and for a read
 * if there are any into this ring, and then grows by an eighth.
 */
static size_t choose_capacity(const struct kept *kept, size_t need)
{
	size_t most = kept->max_bytes + RING_SLACK_BYTES, capacity = RING_MIN_BYTES;

	if (kept->max_bytes >= KEPT_DIRECT_BYTES)
		most += KEPT_READ_BYTES;
	if (need > most)
		return need + need / 8;
	while (capacity < need)
		capacity *= 2;
	return min_size(capacity, most);
}

/*
 * Makes room for n bytes after the last record. If the budget has no room, drops as many of the
 * oldest bytes. Returns false if the ring is smaller than n.
 */
static bool make_room(struct kept *kept, size_t n)
{
	size_t need = used(kept) + n;

	if (need <= kept->capacity || ring_grow(kept, choose_capacity(kept, need)) ||
	    ring_extend(kept, need))
		return true;
	if (n > kept->capacity)
		return false;
	while (used(kept) + n > kept->capacity)
		drop_oldest(kept, used(kept) + n - kept->capacity);
	return true;
}

/* Advances the offset over bytes that are not kept. */
static void skip(struct kept *kept, enum output_kind kind, size_t n)
{
	while (kept->first < kept->next)
		drop_oldest(kept, SIZE_MAX);
	kept->first_offset[kind] += n;
}

/* Returns true if the next bytes of this output belong to the last record. */
static bool continues(const struct kept *kept, enum output_kind kind)
{
	return kept->first < kept->next && read_header(kept, kept->last) >> KIND_SHIFT == kind;
}

/* Returns the position at which the next bytes of this output lie. */
static uint64_t data_position(const struct kept *kept, enum output_kind kind)
{
	return kept->next + (continues(kept, kind) ? 0 : HEADER_BYTES);
}

/* Makes the n bytes at data_position part of the last record, or a record of their own. */
static void add_to_record(struct kept *kept, enum output_kind kind, size_t n)
{
	uint32_t length = 0;

	if (continues(kept, kind)) {
		length = read_header(kept, kept->last) & LENGTH_MASK;
	} else {
		kept->last = kept->next;
		kept->next += HEADER_BYTES;
		kept->n_records++;
	}
	write_header(kept, kept->last, kind, length + (uint32_t)n);
	kept->next += n;
	kept->data_bytes += n;
}

/* Drops the oldest bytes until n more are at most max_bytes, and records above the maximum. */
static void drop_above(struct kept *kept, size_t n)
{
	while (kept->data_bytes + n > kept->max_bytes)
		drop_oldest(kept, kept->data_bytes + n - kept->max_bytes);
	while (kept->n_records > KEPT_MAX_RECORDS)
		drop_oldest(kept, SIZE_MAX);
}

void kept_add(struct kept *kept, enum output_kind kind, const uint8_t *data, size_t n, bool all)
{
	size_t fit;

	if (!all && n > kept->max_bytes) {
		skip(kept, kind, n - kept->max_bytes);
		data += n - kept->max_bytes;
		n = kept->max_bytes;
	}
	if (!all)
		drop_above(kept, n);
	if (!make_room(kept, n + HEADER_BYTES)) {
		if (kept->capacity == 0) {
			kept->first_offset[kind] += n;
			return;
		}
		/* The end of the bytes fills the ring. */
		fit = kept->capacity - HEADER_BYTES;
		skip(kept, kind, n - fit);
		data += n - fit;
		n = fit;
	}
	ring_write(kept, data_position(kept, kind), data, n);
	add_to_record(kept, kind, n);
}

uint8_t *kept_reserve(struct kept *kept, enum output_kind kind, size_t *ret_bytes)
{
	size_t need = used(kept) + HEADER_BYTES + KEPT_READ_BYTES, place, room;

	if (kept->data_bytes < KEPT_DIRECT_BYTES ||
	    (need > kept->capacity && !ring_extend(kept, choose_capacity(kept, need))))
		return NULL;
	place = ring_index(kept, data_position(kept, kind));
	room = min_size(kept->capacity - place, KEPT_READ_BYTES);
	if (room < KEPT_READ_BYTES / 2)
		return NULL;
	*ret_bytes = room;
	return kept->ring + place;
}

void kept_commit(struct kept *kept, enum output_kind kind, size_t n)
{
	add_to_record(kept, kind, n);
	drop_above(kept, 0);
}

void kept_set_offsets(struct kept *kept, const uint64_t first_offset[OUTPUT_KINDS])
{
	memcpy(kept->first_offset, first_offset, sizeof(kept->first_offset));
}

void kept_trim(struct kept *kept)
{
	size_t n = used(kept);

	if (n == 0 || n == kept->capacity)
		return;
	if (n <= TRIM_COPY_BYTES)
		ring_copy(kept, n);
	else
		release_unused(kept);
	budget_share_set(&kept->share, n);
}

/* ---- reading ---- */

void kept_begin(const struct kept *kept, const uint64_t from[OUTPUT_KINDS], struct kept_cursor *ret)
{
	ret->at = kept->first;
	ret->done = 0;
	memcpy(ret->offset, kept->first_offset, sizeof(ret->offset));
	memcpy(ret->from, from, sizeof(ret->from));
}

/* Skips the bytes of the record before from[kind]. Returns the number of remaining bytes. */
static uint32_t skip_early(struct kept_cursor *cursor, enum output_kind kind, uint32_t length)
{
	uint64_t early = cursor->from[kind] > cursor->offset[kind]
				 ? cursor->from[kind] - cursor->offset[kind]
				 : 0;
	uint32_t rest = length - cursor->done;

	if (early > rest)
		early = rest;
	cursor->done += (uint32_t)early;
	cursor->offset[kind] += early;
	return rest - (uint32_t)early;
}

int kept_next(const struct kept *kept, struct kept_cursor *cursor, size_t max_bytes,
	      enum output_kind *ret_kind, const uint8_t **ret_data, size_t *ret_n)
{
	uint32_t header, length, rest = 0;
	enum output_kind kind = OUTPUT_STDOUT;
	size_t place;

	if (cursor->at < kept->first)
		return -1;
	for (; cursor->at < kept->next; cursor->at += HEADER_BYTES + length, cursor->done = 0) {
		header = read_header(kept, cursor->at);
		length = header & LENGTH_MASK;
		kind = header >> KIND_SHIFT;
		rest = skip_early(cursor, kind, length);
		if (rest > 0)
			break;
		/* The last record may still grow, so the cursor stays in it. */
		if (cursor->at == kept->last)
			return 0;
	}
	if (cursor->at >= kept->next)
		return 0;
	place = ring_index(kept, cursor->at + HEADER_BYTES + cursor->done);
	*ret_kind = kind;
	*ret_data = kept->ring + place;
	*ret_n = min_size(min_size(rest, max_bytes), kept->capacity - place);
	cursor->done += (uint32_t)*ret_n;
	cursor->offset[kind] += *ret_n;
	return 1;
}
