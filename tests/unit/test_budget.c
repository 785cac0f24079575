/* SPDX-License-Identifier: Apache-2.0 */
/* The budget: shares, classes, the reserve; and gathering without empty memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <event2/buffer.h>

#include "base/budget.h"
#include "base/buffer.h"

#define MIB ((size_t)1024 * 1024)

static struct budget budget;

static int setup(void **state)
{
	budget_init(&budget);
	return 0;
}

static void test_counts_have_a_limit(void **state)
{
	budget.limit[BUDGET_WATCHERS] = 2;
	assert_true(budget_take(&budget, BUDGET_WATCHERS, 2));
	assert_false(budget_take(&budget, BUDGET_WATCHERS, 1));
	assert_false(budget_take(&budget, BUDGET_WATCHERS, SIZE_MAX));
	budget_give(&budget, BUDGET_WATCHERS, 2);
	assert_int_equal(budget.used[BUDGET_WATCHERS], 0);
	assert_int_equal(budget.peak[BUDGET_WATCHERS], 2);
}

static void test_a_charge_counts_on_three_levels(void **state)
{
	struct budget_share share;

	budget_share_init(&share, &budget, BUDGET_CLASS_WATCH);
	assert_true(budget_share_take(&share, 1000));
	assert_int_equal(share.used, 1000);
	assert_int_equal(budget.classes[BUDGET_CLASS_WATCH].used, 1000);
	assert_int_equal(budget.used[BUDGET_BYTES], 1000);
	assert_true(budget_share_set(&share, 400));
	assert_int_equal(budget.used[BUDGET_BYTES], 400);
	budget_share_clear(&share);
	assert_int_equal(budget.classes[BUDGET_CLASS_WATCH].used, 0);
	assert_int_equal(budget.used[BUDGET_BYTES], 0);
}

static void test_one_share_has_a_cap(void **state)
{
	struct budget_share share;

	budget_share_init(&share, &budget, BUDGET_CLASS_WATCH);
	assert_int_equal(budget_share_room(&share), 8 * MIB);
	assert_true(budget_share_take(&share, 8 * MIB));
	assert_false(budget_share_take(&share, 1));
	assert_int_equal(budget_share_room(&share), 0);
	assert_false(budget_share_take(&share, SIZE_MAX));
	budget_share_clear(&share);
}

/*
 * Two hundred pollers whose events nobody fetched held all bytes of the daemon. Then nothing worked
 * any more, not even the call that removes a watcher. A class leaves room for the others.
 */
static void test_a_full_class_leaves_room_for_others(void **state)
{
	struct budget_share watchers[8], one_more, request;
	size_t i;

	for (i = 0; i < 8; i++) {
		budget_share_init(&watchers[i], &budget, BUDGET_CLASS_WATCH);
		assert_true(budget_share_take(&watchers[i], 8 * MIB));
	}
	budget_share_init(&one_more, &budget, BUDGET_CLASS_WATCH);
	assert_false(budget_share_take(&one_more, 1 * MIB));
	budget_share_init(&request, &budget, BUDGET_CLASS_REQUESTS);
	assert_true(budget_share_take(&request, 16 * MIB));
	budget_share_clear(&request);
	for (i = 0; i < 8; i++)
		budget_share_clear(&watchers[i]);
	assert_int_equal(budget.used[BUDGET_BYTES], 0);
}

/* Takes all that large shares may have, in several classes. */
static void fill_all(struct budget_share *shares, size_t n)
{
	static const enum budget_class classes[] = {BUDGET_CLASS_REQUESTS, BUDGET_CLASS_RESPONSES};
	size_t i;

	for (i = 0; i < n; i++) {
		budget_share_init(&shares[i], &budget, classes[i / 2 % 2]);
		if (budget_share_room(&shares[i]) > MIB)
			budget_share_take(&shares[i], budget_share_room(&shares[i]));
	}
	assert_int_equal(budget.used[BUDGET_BYTES],
			 budget.limit[BUDGET_BYTES] - BUDGET_RESERVE_BYTES);
}

/*
 * Sixteen unfinished bodies of 16 MiB, and nobody's SendSignal worked. The first 64 KiB of a
 * request come from a reserve that larger requests can't use.
 */
static void test_small_requests_fit_when_all_is_full(void **state)
{
	struct budget_share shares[8], small, large, stranger;
	size_t i;

	fill_all(shares, 8);
	budget_share_init(&small, &budget, BUDGET_CLASS_REQUESTS);
	assert_true(budget_share_take(&small, 64 * 1024));
	assert_false(budget_share_take(&small, 64 * 1024));
	budget_share_init(&large, &budget, BUDGET_CLASS_REQUESTS);
	assert_false(budget_share_take(&large, 128 * 1024));
	assert_int_equal(budget_share_room(&large), 64 * 1024 + BUDGET_FREE_BYTES);
	/* A peer without a token gets the free bytes and no part of the reserve. */
	budget_share_init(&stranger, &budget, BUDGET_CLASS_UNAUTHENTICATED);
	assert_true(budget_share_take(&stranger, BUDGET_FREE_BYTES));
	assert_false(budget_share_take(&stranger, 1));
	assert_int_equal(budget_share_room(&stranger), 0);
	budget_share_clear(&small);
	budget_share_clear(&stranger);
	for (i = 0; i < 8; i++)
		budget_share_clear(&shares[i]);
	assert_int_equal(budget.used[BUDGET_BYTES], 0);
}

static void test_a_share_moves_to_another_class(void **state)
{
	struct budget_share share;

	budget_share_init(&share, &budget, BUDGET_CLASS_UNAUTHENTICATED);
	assert_true(budget_share_take(&share, 10000));
	assert_true(budget_share_move(&share, BUDGET_CLASS_REQUESTS));
	assert_int_equal(budget.classes[BUDGET_CLASS_UNAUTHENTICATED].used, 0);
	assert_int_equal(budget.classes[BUDGET_CLASS_REQUESTS].used, 10000 - BUDGET_FREE_BYTES);
	budget_share_clear(&share);
	assert_int_equal(budget.used[BUDGET_BYTES], 0);
}

/* An event in the queues of several watchers is in memory once, and is charged once. */
static void test_a_shared_object_is_charged_once(void **state)
{
	struct budget_charge charge = {0}, other = {0};

	assert_true(budget_charge_hold(&charge, &budget, BUDGET_CLASS_WATCH, 500));
	assert_true(budget_charge_hold(&charge, &budget, BUDGET_CLASS_WATCH, 500));
	assert_int_equal(budget.used[BUDGET_BYTES], 500);
	budget_charge_drop(&charge);
	assert_int_equal(budget.used[BUDGET_BYTES], 500);
	budget_charge_drop(&charge);
	assert_int_equal(budget.used[BUDGET_BYTES], 0);
	assert_false(budget_charge_hold(&charge, &budget, BUDGET_CLASS_WATCH, 9 * MIB));
	assert_int_equal(charge.holders, 0);
	/* Small objects may be many: together they stay in their class, and leave the reserve. */
	budget.classes[BUDGET_CLASS_WATCH].limit = 600;
	assert_true(budget_charge_hold(&charge, &budget, BUDGET_CLASS_WATCH, 500));
	assert_false(budget_charge_hold(&other, &budget, BUDGET_CLASS_WATCH, 500));
	budget_charge_drop(&charge);
}

/* A share that is all zero belongs to no budget: for objects that a test makes alone. */
static void test_a_share_of_nobody(void **state)
{
	struct budget_share share = {0};

	assert_true(budget_share_take(&share, 1000));
	budget_share_clear(&share);
}

/* Room that is told is room that is given, whatever was taken before. */
static void test_room_is_what_fits(void **state)
{
	struct budget_share other, share;
	size_t taken, room;
	int class;

	for (class = 0; class < BUDGET_CLASSES; class ++) {
		for (taken = 0; taken < 300 * MIB; taken = taken * 3 + 1000) {
			budget_init(&budget);
			budget_share_init(&other, &budget, (enum budget_class) class);
			budget_share_take(&other, taken);
			budget_share_init(&share, &budget, (enum budget_class) class);
			room = budget_share_room(&share);
			assert_true(budget_share_take(&share, room));
			assert_false(budget_share_take(&share, 1));
		}
	}
}

/* A body of 6 MB in chunks of one byte took 995 MiB: each byte kept the 1 KiB it arrived in. */
static void test_small_pieces_are_copied_together(void **state)
{
	struct evbuffer *to = evbuffer_new(), *from = evbuffer_new();
	struct evbuffer_iovec chunks[64];
	size_t i;

	for (i = 0; i < 10000; i++) {
		evbuffer_add(from, "x", 1);
		buffer_gather(to, from);
		assert_int_equal(evbuffer_get_length(from), 0);
	}
	assert_int_equal(evbuffer_get_length(to), 10000);
	assert_in_range(evbuffer_peek(to, -1, NULL, chunks, 64), 1, 16);
	evbuffer_free(to);
	evbuffer_free(from);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_counts_have_a_limit, setup),
		cmocka_unit_test_setup(test_a_charge_counts_on_three_levels, setup),
		cmocka_unit_test_setup(test_one_share_has_a_cap, setup),
		cmocka_unit_test_setup(test_a_full_class_leaves_room_for_others, setup),
		cmocka_unit_test_setup(test_small_requests_fit_when_all_is_full, setup),
		cmocka_unit_test_setup(test_a_share_moves_to_another_class, setup),
		cmocka_unit_test_setup(test_a_shared_object_is_charged_once, setup),
		cmocka_unit_test_setup(test_a_share_of_nobody, setup),
		cmocka_unit_test_setup(test_room_is_what_fits, setup),
		cmocka_unit_test_setup(test_small_pieces_are_copied_together, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
