/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kept output against a model: all bytes of each output in plain arrays. Random additions, windows
 * and cursors; what a cursor gives must be the end of what was written, in order, with no byte
 * twice and none missing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "pty/kept.h"

#define MODEL_BYTES 4000000

static uint8_t model[OUTPUT_KINDS][MODEL_BYTES];
static size_t total[OUTPUT_KINDS];
/* Which output each byte went to, in the order of writing. */
static uint8_t order[MODEL_BYTES];
static size_t n_order;

/* Adds bytes to the model. Returns where they are. */
static const uint8_t *model_some(enum output_kind kind, size_t n)
{
	uint8_t *data = model[kind] + total[kind];

	for (size_t i = 0; i < n; i++) {
		data[i] = (uint8_t)rand();
		order[n_order++] = (uint8_t)kind;
	}
	total[kind] += n;
	return data;
}

static void write_some(struct kept *kept, enum output_kind kind, size_t n, bool all)
{
	kept_add(kept, kind, model_some(kind, n), n, all);
}

/* Adds at most n bytes as a read into the ring does, which may write to all that is reserved. */
static bool read_some(struct kept *kept, enum output_kind kind, size_t n)
{
	size_t room = 0;
	uint8_t *data = kept_reserve(kept, kind, &room);

	if (!data)
		return false;
	assert_in_range(room, KEPT_READ_BYTES / 2, KEPT_READ_BYTES);
	memset(data, 0xee, room);
	if (n > room)
		n = room;
	if (n == 0)
		return true;
	memcpy(data, model_some(kind, n), n);
	kept_commit(kept, kind, n);
	return true;
}

/* Reads to the end; each byte must be the model's, at its offset and in its order. */
static void check_cursor(const struct kept *kept, struct kept_cursor *cursor, size_t want)
{
	uint64_t expected[OUTPUT_KINDS];
	size_t got = 0, place = n_order - kept->data_bytes, n, i;
	enum output_kind kind;
	const uint8_t *data;

	memcpy(expected, kept->first_offset, sizeof(expected));
	while (kept_next(kept, cursor, 1 + (size_t)rand() % 4000, &kind, &data, &n) == 1) {
		for (i = 0; i < n; i++) {
			/* Bytes that are left out stand before this one. */
			while (order[place] != kind ||
			       expected[order[place]] < cursor->from[order[place]]) {
				assert_true(expected[order[place]] < cursor->from[order[place]]);
				expected[order[place++]]++;
			}
			assert_int_equal(data[i], model[kind][expected[kind]]);
			expected[kind]++;
			place++;
		}
		got += n;
	}
	assert_int_equal(got, want);
	assert_int_equal(kept_next(kept, cursor, 100, &kind, &data, &n), 0);
	for (i = 0; i < OUTPUT_KINDS; i++)
		if (cursor->from[i] <= total[i])
			assert_int_equal(cursor->offset[i], total[i]);
}

static void begin(void)
{
	memset(total, 0, sizeof(total));
	n_order = 0;
}

static void test_model(void **state)
{
	static const size_t windows[] = {1, 2, 7, 100, 511, 512, 4096, 30000, 100000};

	for (unsigned seed = 0; seed < 60; seed++) {
		size_t window = windows[seed % ARRAY_LEN(windows)], biggest;
		struct kept *kept = kept_new(NULL, window);
		struct kept_cursor cursor;
		uint64_t from[OUTPUT_KINDS];

		srand(seed);
		begin();
		biggest = seed % 3 == 0 ? 3 : seed % 3 == 1 ? 300 : 5000;
		while (n_order + 2 * biggest < 100000) {
			write_some(kept, (enum output_kind)(rand() % 2),
				   1 + (size_t)rand() % biggest, false);
			assert_int_equal(kept->data_bytes, n_order < window ? n_order : window);
			assert_int_equal(kept->first_offset[0] + kept->first_offset[1] +
						 kept->data_bytes,
					 n_order);
			if (rand() % 50)
				continue;
			for (size_t i = 0; i < OUTPUT_KINDS; i++)
				from[i] = total[i] ? (uint64_t)rand() % (total[i] + 1) : 0;
			size_t want = 0;
			for (size_t i = 0; i < OUTPUT_KINDS; i++)
				want += total[i] - (from[i] > kept->first_offset[i]
							    ? from[i]
							    : kept->first_offset[i]);
			kept_begin(kept, from, &cursor);
			check_cursor(kept, &cursor, want);
		}
		/* The last bytes are all kept for a reader that has not caught up. */
		kept_begin(kept, (uint64_t[OUTPUT_KINDS]){0}, &cursor);
		write_some(kept, OUTPUT_STDOUT, 4000, true);
		write_some(kept, OUTPUT_STDERR, 10, true);
		kept_trim(kept);
		check_cursor(kept, &cursor, kept->data_bytes);
		kept_unref(kept);
	}
}

/*
 * Reads into the ring, and additions, in any order: the window is exact, also when a read brings
 * less than was reserved for it.
 */
static void test_reads_into_the_ring(void **state)
{
	static const size_t windows[] = {KEPT_DIRECT_BYTES, 300001, 700000};
	static const size_t sizes[] = {1, 100, 5000, KEPT_READ_BYTES};

	for (unsigned seed = 0; seed < 12; seed++) {
		size_t window = windows[seed % ARRAY_LEN(windows)], reads = 0, n;
		size_t biggest = sizes[seed % ARRAY_LEN(sizes)];
		struct budget budget;
		struct kept_cursor cursor;
		struct kept *kept;

		srand(seed);
		begin();
		budget_init(&budget);
		kept = kept_new(&budget, window);
		/* Content that a ring with fewer than KEPT_DIRECT_BYTES must not be read into. */
		write_some(kept, OUTPUT_STDOUT, KEPT_DIRECT_BYTES - 1, false);
		assert_false(read_some(kept, OUTPUT_STDOUT, 1));
		for (unsigned i = 0; i < 2000 && n_order + 2 * KEPT_READ_BYTES < MODEL_BYTES; i++) {
			enum output_kind kind = rand() % 4 ? OUTPUT_STDOUT : OUTPUT_STDERR;

			n = (size_t)rand() % (biggest + 1);
			if (rand() % 4 && read_some(kept, kind, n))
				reads++;
			else
				write_some(kept, kind, n + 1, false);
			assert_int_equal(kept->data_bytes, n_order < window ? n_order : window);
			assert_int_equal(kept->share.used, kept->capacity);
			if (i % 100)
				continue;
			kept_begin(kept, (uint64_t[OUTPUT_KINDS]){0}, &cursor);
			check_cursor(kept, &cursor, kept->data_bytes);
		}
		assert_true(reads > 20);
		assert_true(kept->capacity <= window + window / 4 + KEPT_READ_BYTES);
		kept_begin(kept, (uint64_t[OUTPUT_KINDS]){0}, &cursor);
		check_cursor(kept, &cursor, kept->data_bytes);
		kept_unref(kept);
		assert_int_equal(budget.used[BUDGET_BYTES], 0);
	}
}

/* Without room in the budget for a read, a large ring is not read into, and keeps what it has. */
static void test_no_memory_for_reads(void **state)
{
	struct budget budget;
	struct kept_cursor cursor;
	struct kept *kept;

	begin();
	budget_init(&budget);
	kept = kept_new(&budget, 1024 * 1024);
	while (kept->capacity == 0 || kept->data_bytes + KEPT_READ_BYTES / 2 < kept->capacity ||
	       kept->data_bytes < KEPT_DIRECT_BYTES)
		write_some(kept, OUTPUT_STDOUT, 1000, false);
	budget.limit[BUDGET_BYTES] = budget.used[BUDGET_BYTES];
	assert_false(read_some(kept, OUTPUT_STDOUT, 1000));
	kept_begin(kept, (uint64_t[OUTPUT_KINDS]){0}, &cursor);
	check_cursor(kept, &cursor, n_order);
	budget.limit[BUDGET_BYTES] = BUDGET_DEFAULT_BYTES;
	assert_true(read_some(kept, OUTPUT_STDOUT, 1000));
	kept_begin(kept, (uint64_t[OUTPUT_KINDS]){0}, &cursor);
	check_cursor(kept, &cursor, n_order);
	kept_unref(kept);
}

/* A budget without room shrinks the window; a reader that has lost bytes is told. */
static void test_no_memory(void **state)
{
	struct budget budget;
	struct budget_share other;
	struct kept *kept;
	struct kept_cursor cursor;
	enum output_kind kind;
	const uint8_t *data;
	size_t n;

	begin();
	budget_init(&budget);
	kept = kept_new(&budget, 65536);
	for (int i = 0; i < 10; i++)
		write_some(kept, OUTPUT_STDOUT, 1000, false);
	assert_int_equal(kept->data_bytes, 10000);
	budget_share_init(&other, &budget, BUDGET_CLASS_UPLOADS);
	budget.limit[BUDGET_BYTES] = budget.used[BUDGET_BYTES];
	kept_begin(kept, (uint64_t[OUTPUT_KINDS]){0}, &cursor);
	for (int i = 0; i < 40; i++)
		write_some(kept, OUTPUT_STDOUT, 1000, false);
	/*
	 * The whole record of an output was dropped for each addition that did not fit, so that the
	 * window shrank to one addition, and an addition larger than the ring left nothing.
	 */
	assert_in_range(kept->data_bytes, kept->capacity - 16, kept->capacity);
	assert_int_equal(kept->first_offset[OUTPUT_STDOUT] + kept->data_bytes, 50000);
	assert_int_equal(kept_next(kept, &cursor, 100, &kind, &data, &n), -1);
	kept_begin(kept, (uint64_t[OUTPUT_KINDS]){0}, &cursor);
	check_cursor(kept, &cursor, kept->data_bytes);
	write_some(kept, OUTPUT_STDERR, 30000, false);
	assert_in_range(kept->data_bytes, kept->capacity - 16, kept->capacity);
	kept_begin(kept, (uint64_t[OUTPUT_KINDS]){0}, &cursor);
	check_cursor(kept, &cursor, kept->data_bytes);
	kept_unref(kept);
	assert_int_equal(budget.used[BUDGET_BYTES], 0);
}

/*
 * A ring doubles. If the budget had room for the bytes but not for that, they were dropped: of
 * three ended processes with 35 MiB kept each, one lost all in an upgrade, which restores them in
 * one piece.
 */
static void test_no_memory_for_twice_as_much(void **state)
{
	struct budget budget;
	struct kept *kept;

	begin();
	budget_init(&budget);
	budget.limit[BUDGET_BYTES] = BUDGET_RESERVE_BYTES + 70000;
	kept = kept_new(&budget, 1024 * 1024);
	write_some(kept, OUTPUT_STDOUT, 67000, false);
	assert_int_equal(kept->data_bytes, 67000);
	write_some(kept, OUTPUT_STDERR, 2000, false);
	assert_int_equal(kept->data_bytes, 69000);
	kept_unref(kept);
}

/*
 * Without a maximum, a process that writes single bytes to both outputs in turn made 13 million
 * records of 64 MiB, which stopped the loop when a reader resumed, and filled the memory at an
 * upgrade.
 */
static void test_many_records(void **state)
{
	struct kept *kept = kept_new(NULL, KEPT_MAX_BYTES);
	struct kept_cursor cursor;
	size_t i;

	begin();
	for (i = 0; i < KEPT_MAX_RECORDS + 1000; i++)
		write_some(kept, i % 2 ? OUTPUT_STDERR : OUTPUT_STDOUT, 1, false);
	assert_in_range(kept->data_bytes, KEPT_MAX_RECORDS, KEPT_MAX_RECORDS + 1);
	kept_begin(kept, (uint64_t[OUTPUT_KINDS]){0}, &cursor);
	check_cursor(kept, &cursor, kept->data_bytes);
	kept_unref(kept);
}

/* Counts the pages that lie entirely in the ring and are resident. */
static size_t resident_pages(const struct kept *kept)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = ((uintptr_t)kept->ring + page - 1) & ~(page - 1);
	uintptr_t to = ((uintptr_t)kept->ring + kept->capacity) & ~(page - 1);
	unsigned char resident[1024];
	size_t i, n = 0;

	assert_in_range((to - from) / page, 1, sizeof(resident));
	assert_int_equal(mincore(kept->ring + (from - (uintptr_t)kept->ring), to - from, resident),
			 0);
	for (i = 0; i < (to - from) / page; i++)
		n += resident[i] & 1;
	return n;
}

/*
 * The end of a process copied its kept output to a smaller ring, and growing copied it as well.
 * With 60 MB the loop stood still for 100 ms and 60 ms. A large ring grows without a copy, and
 * gives pages back instead. Here its content wraps, and the room for a read is unused.
 */
static void test_trim_of_a_large_ring(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), capacity;
	struct budget budget;
	struct kept *kept;
	struct kept_cursor cursor;

	begin();
	budget_init(&budget);
	kept = kept_new(&budget, 300000);
	for (int i = 0; i < 10; i++)
		write_some(kept, i % 2 ? OUTPUT_STDERR : OUTPUT_STDOUT, 50000, false);
	capacity = kept->capacity;
	assert_int_equal(kept->share.used, capacity);
	assert_int_equal(kept->data_bytes, 300000);
	assert_true((kept->first - kept->origin) % capacity + kept->data_bytes > capacity);
	kept_trim(kept);
	assert_int_equal(kept->capacity, capacity);
	assert_in_range(kept->share.used, 300000, 300100);
	assert_true(resident_pages(kept) * page <= kept->share.used + 2 * page);
	kept_begin(kept, (uint64_t[OUTPUT_KINDS]){0}, &cursor);
	check_cursor(kept, &cursor, kept->data_bytes);
	kept_unref(kept);
	assert_int_equal(budget.used[BUDGET_BYTES], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_reads_into_the_ring),
		cmocka_unit_test(test_no_memory_for_reads),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_no_memory_for_twice_as_much),
		cmocka_unit_test(test_many_records),
		cmocka_unit_test(test_trim_of_a_large_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
