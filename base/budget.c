/* SPDX-License-Identifier: Apache-2.0 */
#include "base/budget.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem_trim.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ABORT_ON_FAULT 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) ||                         \
	__has_feature(thread_sanitizer)
#define ABORT_ON_FAULT 1
#endif
#endif
#ifndef ABORT_ON_FAULT
#define ABORT_ON_FAULT 0
#endif

/* The table of budget.h. */
static const struct {
	const char *name;
	size_t all_bytes;
	size_t each_bytes;
	size_t small_bytes;
	size_t free_bytes;
} classes[BUDGET_CLASSES] = {
	[BUDGET_CLASS_UNAUTHENTICATED] = {"unauthenticated", 24 * MIB, 5 * MIB, 0,
					  BUDGET_FREE_BYTES},
	[BUDGET_CLASS_REQUESTS] = {"requests", 160 * MIB, 96 * MIB, 64 * KIB, BUDGET_FREE_BYTES},
	[BUDGET_CLASS_RESPONSES] = {"responses", 96 * MIB, 64 * MIB, 64 * KIB, 0},
	[BUDGET_CLASS_WATCH] = {"watch", 64 * MIB, 8 * MIB, 4 * KIB, 0},
	[BUDGET_CLASS_STDIN] = {"stdin", 64 * MIB, 33 * MIB, 4 * KIB, 0},
	[BUDGET_CLASS_UPLOADS] = {"uploads", 96 * MIB, 16 * MIB, 64 * KIB, 0},
	[BUDGET_CLASS_PROCESSES] = {"processes", 64 * MIB, 33 * MIB, 64 * KIB, 0},
	/* each: a ring of 64 MiB, and the smaller ring while its bytes are copied. */
	[BUDGET_CLASS_KEPT] = {"kept", 128 * MIB, 97 * MIB, 4 * KIB, 0},
};

void budget_init(struct budget *b)
{
	size_t i;

	memset(b, 0, sizeof(*b));
	b->limit[BUDGET_CONNECTIONS] = BUDGET_DEFAULT_CONNECTIONS;
	b->limit[BUDGET_STREAMS] = BUDGET_DEFAULT_STREAMS;
	b->limit[BUDGET_PROCESSES] = BUDGET_DEFAULT_PROCESSES;
	b->limit[BUDGET_WATCHERS] = BUDGET_DEFAULT_WATCHERS;
	b->limit[BUDGET_BYTES] = BUDGET_DEFAULT_BYTES;
	for (i = 0; i < BUDGET_CLASSES; i++)
		b->classes[i].limit = classes[i].all_bytes;
}

/*
 * Reports that more was given back than taken: the account is wrong, but memory is not corrupted.
 */
static void report_fault(const char *what, size_t given, size_t used)
{
	log_error("budget: %zu of %s given back, only %zu were taken", given, what, used);
	if (ABORT_ON_FAULT)
		abort();
}

static void count_up(size_t *used, size_t *peak, size_t n)
{
	*used += n;
	if (*used > *peak)
		*peak = *used;
}

static void count_down(size_t *used, size_t n, const char *what)
{
	if (n > *used) {
		report_fault(what, n, *used);
		n = *used;
	}
	*used -= n;
}

static bool fits(size_t used, size_t limit, size_t n)
{
	return n <= limit && used <= limit - n;
}

bool budget_take(struct budget *b, enum budget_kind kind, size_t n)
{
	if (!fits(b->used[kind], b->limit[kind], n))
		return false;
	budget_force(b, kind, n);
	return true;
}

void budget_force(struct budget *b, enum budget_kind kind, size_t n)
{
	count_up(&b->used[kind], &b->peak[kind], n);
}

void budget_give(struct budget *b, enum budget_kind kind, size_t n)
{
	count_down(&b->used[kind], n, budget_kind_name(kind));
	mem_trim_released(b->trim);
}

/* ---- shares ---- */

/* Returns the part of a share of `used` bytes that is charged to its class and the total. */
static size_t charged(enum budget_class class, size_t used)
{
	return used > classes[class].free_bytes ? used - classes[class].free_bytes : 0;
}

/* Adds n charged bytes to class and total. A small share may use the reserve. */
static bool account_take(struct budget *b, enum budget_class class, size_t n, bool small)
{
	struct budget_account *account = &b->classes[class];
	size_t limit = b->limit[BUDGET_BYTES];

	if (!small) {
		limit = limit > BUDGET_RESERVE_BYTES ? limit - BUDGET_RESERVE_BYTES : 0;
		if (!fits(account->used, account->limit, n))
			return false;
	}
	if (!fits(b->used[BUDGET_BYTES], limit, n))
		return false;
	count_up(&account->used, &account->peak, n);
	count_up(&b->used[BUDGET_BYTES], &b->peak[BUDGET_BYTES], n);
	return true;
}

static void account_give(struct budget *b, enum budget_class class, size_t n)
{
	count_down(&b->classes[class].used, n, classes[class].name);
	count_down(&b->used[BUDGET_BYTES], n, "bytes");
}

void budget_share_init(struct budget_share *share, struct budget *b, enum budget_class class)
{
	*share = (struct budget_share){.budget = b, .class = class};
}

bool budget_share_take(struct budget_share *share, size_t n)
{
	enum budget_class class = share->class;
	size_t before = charged(class, share->used), more;

	if (!share->budget)
		return true;
	if (!fits(share->used, classes[class].each_bytes, n))
		return false;
	more = charged(class, share->used + n) - before;
	if (more && !account_take(share->budget, class, more,
				  share->used + n <= classes[class].small_bytes))
		return false;
	share->used += n;
	return true;
}

void budget_share_give(struct budget_share *share, size_t n)
{
	enum budget_class class = share->class;
	size_t before = charged(class, share->used);

	if (!share->budget || !n)
		return;
	count_down(&share->used, n, classes[class].name);
	account_give(share->budget, class, before - charged(class, share->used));
	mem_trim_released(share->budget->trim);
}

bool budget_share_set(struct budget_share *share, size_t n)
{
	if (n > share->used)
		return budget_share_take(share, n - share->used);
	budget_share_give(share, share->used - n);
	return true;
}

static size_t room_below(size_t used, size_t limit)
{
	return used < limit ? limit - used : 0;
}

size_t budget_share_room(const struct budget_share *share)
{
	const struct budget *b = share->budget;
	enum budget_class class = share->class;
	size_t each, room, total, small;

	if (!b)
		return SIZE_MAX;
	each = room_below(share->used, classes[class].each_bytes);
	room = room_below(b->classes[class].used, b->classes[class].limit);
	total = room_below(b->used[BUDGET_BYTES] + BUDGET_RESERVE_BYTES, b->limit[BUDGET_BYTES]);
	room = room < total ? room : total;
	small = room_below(share->used, classes[class].small_bytes);
	total = room_below(b->used[BUDGET_BYTES], b->limit[BUDGET_BYTES]);
	small = small < total ? small : total;
	room = (room > small ? room : small) + room_below(share->used, classes[class].free_bytes);
	return room < each ? room : each;
}

bool budget_share_move(struct budget_share *share, enum budget_class class)
{
	struct budget_share moved = {.budget = share->budget, .class = class};

	if (share->class == class)
		return true;
	if (!budget_share_take(&moved, share->used))
		return false;
	budget_share_clear(share);
	*share = moved;
	return true;
}

void budget_share_clear(struct budget_share *share)
{
	budget_share_give(share, share->used);
}

/* ---- objects with several holders ---- */

bool budget_charge_hold(struct budget_charge *charge, struct budget *b, enum budget_class class,
			size_t bytes)
{
	if (charge->holders == 0) {
		budget_share_init(&charge->share, b, class);
		if (bytes > classes[class].each_bytes ||
		    !account_take(b, class, charged(class, bytes), false))
			return false;
		charge->share.used = bytes;
	}
	charge->holders++;
	return true;
}

void budget_charge_drop(struct budget_charge *charge)
{
	if (charge->holders == 0) {
		report_fault("charges", 1, 0);
		return;
	}
	if (--charge->holders == 0)
		budget_share_clear(&charge->share);
}

/* ---- names ---- */

const char *budget_kind_name(enum budget_kind kind)
{
	static const char *const names[BUDGET_KINDS] = {
		[BUDGET_CONNECTIONS] = "connections",
		[BUDGET_STREAMS] = "streams",
		[BUDGET_PROCESSES] = "processes",
		[BUDGET_WATCHERS] = "watchers",
		[BUDGET_BYTES] = "bytes",
	};

	return kind < BUDGET_KINDS ? names[kind] : "unknown";
}

const char *budget_class_name(enum budget_class class)
{
	return class < BUDGET_CLASSES ? classes[class].name : "unknown";
}
