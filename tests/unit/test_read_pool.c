/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of large bodies: what is kept, and when it goes. Leaks are the sanitizer's to find. */
#include <event2/buffer.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "rpc/http/read_pool.h"

/* Even where nobody has a piece for a while. */
static void test_kept_while_a_body_comes(void **state)
{
	struct read_pool *pool = read_pool_new();
	char *first, *second, *other;

	read_pool_begin(pool);
	first = read_pool_get(pool);
	second = read_pool_get(pool);
	memset(first, 'a', READ_PIECE_BYTES);
	read_pool_put(pool, first);
	read_pool_put(pool, second);
	assert_ptr_equal(read_pool_get(pool), second);
	assert_ptr_equal(read_pool_get(pool), first);
	other = read_pool_get(pool);
	assert_ptr_not_equal(other, first);
	assert_ptr_not_equal(other, second);
	read_pool_put(pool, first);
	read_pool_put(pool, second);
	read_pool_put(pool, other);
	read_pool_end(pool);
	read_pool_unref(pool);
}

/* The end of one of two bodies takes nothing from the other. */
static void test_kept_for_the_last_body(void **state)
{
	struct read_pool *pool = read_pool_new();
	char *piece;

	read_pool_begin(pool);
	read_pool_begin(pool);
	piece = read_pool_get(pool);
	read_pool_put(pool, piece);
	read_pool_end(pool);
	assert_ptr_equal(read_pool_get(pool), piece);
	read_pool_put(pool, piece);
	read_pool_end(pool);
	read_pool_unref(pool);
}

/* Few bytes are copied, many lie where they were read; both come back when they are drained. */
static void test_add(void **state)
{
	static const size_t sizes[] = {0, 1, READ_PIECE_BYTES / 2 - 1, READ_PIECE_BYTES / 2,
				       READ_PIECE_BYTES};
	struct read_pool *pool = read_pool_new();
	struct evbuffer *to = evbuffer_new();
	size_t i;

	read_pool_begin(pool);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char *piece = read_pool_get(pool);

		memset(piece, 'x', READ_PIECE_BYTES);
		read_pool_add(pool, piece, sizes[i], to);
		assert_int_equal(evbuffer_get_length(to), sizes[i]);
		if (sizes[i] == READ_PIECE_BYTES)
			assert_ptr_equal(evbuffer_pullup(to, -1), piece);
		evbuffer_drain(to, sizes[i]);
		assert_ptr_equal(read_pool_get(pool), piece);
		read_pool_put(pool, piece);
	}
	read_pool_end(pool);
	evbuffer_free(to);
	read_pool_unref(pool);
}

/* However few bytes: they lie where they were read. */
static void test_move(void **state)
{
	struct read_pool *pool = read_pool_new();
	struct evbuffer *to = evbuffer_new();
	char *piece;

	read_pool_begin(pool);
	piece = read_pool_get(pool);
	piece[0] = 'x';
	read_pool_move(pool, piece, 1, to);
	assert_ptr_equal(evbuffer_pullup(to, -1), piece);
	evbuffer_drain(to, 1);
	assert_ptr_equal(read_pool_get(pool), piece);
	read_pool_move(pool, piece, 0, to);
	assert_int_equal(evbuffer_get_length(to), 0);
	assert_ptr_equal(read_pool_get(pool), piece);
	read_pool_put(pool, piece);
	read_pool_end(pool);
	evbuffer_free(to);
	read_pool_unref(pool);
}

/* Whoever asks gets one, and more while few are in use. */
static void test_get_some(void **state)
{
	struct read_pool *pool = read_pool_new();
	char *pieces[2 * READ_PIECES_SPARE];
	unsigned i, n;

	read_pool_begin(pool);
	assert_int_equal(read_pool_get_some(pool, pieces, 1), 1);
	assert_int_equal(read_pool_get_some(pool, pieces + 1, 4), 4);
	assert_int_equal(read_pool_get_some(pool, pieces + 5, 4), READ_PIECES_SPARE - 5);
	n = READ_PIECES_SPARE;
	assert_int_equal(read_pool_get_some(pool, pieces + n++, 4), 1);
	assert_int_equal(read_pool_get_some(pool, pieces + n++, 1), 1);
	for (i = 0; i < n; i++)
		memset(pieces[i], 'x', READ_PIECE_BYTES);
	while (n > 3)
		read_pool_put(pool, pieces[--n]);
	assert_int_equal(read_pool_get_some(pool, pieces + n, 4), 4);
	for (n += 4; n;)
		read_pool_put(pool, pieces[--n]);
	read_pool_end(pool);
	read_pool_unref(pool);
}

/* A worker has a piece when the server ends. */
static void test_outlived(void **state)
{
	struct read_pool *pool = read_pool_new();
	char *piece;

	read_pool_begin(pool);
	read_pool_put(pool, read_pool_get(pool));
	piece = read_pool_get(pool);
	read_pool_end(pool);
	read_pool_unref(pool);
	memset(piece, 'x', READ_PIECE_BYTES);
	read_pool_put(pool, piece);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept_while_a_body_comes),
		cmocka_unit_test(test_kept_for_the_last_body),
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_get_some),
		cmocka_unit_test(test_outlived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
