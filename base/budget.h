/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's budget: how much of it peers may occupy, in counts and in bytes.
 *
 * Counts (connections, requests, processes, watchers) have one limit each: budget_take and
 * budget_give. Bytes are an account with three levels:
 *
 *	share (one holder)  ->  class (all holders of a kind)  ->  total (the daemon)
 *
 * A holder embeds a `struct budget_share`, and charges memory to it before the memory is taken. A
 * charge is refused when it exceeds the cap of the share, of its class, or of the daemon. The
 * caller answers with resource_exhausted or 503. All calls take constant time and run on the loop.
 *
 * | class           | charged                                 |     all |   each |  small |  free |
 * |-----------------|-----------------------------------------|---------|--------|--------|-------|
 * | UNAUTHENTICATED | heads, bodies: requests without a token |  24 MiB |  5 MiB |      0 | 4 KiB |
 * | REQUESTS        | messages gathered and decoded           | 160 MiB | 96 MiB | 64 KiB | 4 KiB |
 * | RESPONSES       | listings and archives being made        |  96 MiB | 64 MiB | 64 KiB |     0 |
 * | WATCH           | queued events and their encodings       |  64 MiB |  8 MiB |  4 KiB |     0 |
 * | STDIN           | input that a process has not read       |  64 MiB | 33 MiB |  4 KiB |     0 |
 * | UPLOADS         | file pieces on their way to a worker    |  96 MiB | 16 MiB | 64 KiB |     0 |
 * | PROCESSES       | a process: what is kept while it lives  |  64 MiB | 33 MiB | 64 KiB |     0 |
 * | KEPT            | output kept for later readers           | 128 MiB | 97 MiB |  4 KiB |     0 |
 *
 * all, each: the caps of the class and of one share. The caps of all classes add up to more than
 * the total: a single busy class may use most of the memory, but never all of it.
 * small: a share below this size may use the reserve (BUDGET_RESERVE_BYTES) that larger ones leave
 * alone, and is not bound by its class's cap. So a signal or a listing of processes succeeds
 * although large messages fill their class. Peers without a token have no part of the reserve.
 * free: the first bytes of each share are charged to nobody, so that a small request always
 * succeeds. Their number is bounded by the limit of connections.
 *
 * Why those caps: one share takes the largest message the protocol allows (16 MiB and 64 MiB
 * decoded; 32 MiB of input; 4 MiB of a body for /init) plus the cost of its bookkeeping.
 */
#ifndef BASE_BUDGET_H
#define BASE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

struct mem_trim;

enum budget_kind {
	BUDGET_CONNECTIONS,
	BUDGET_STREAMS,	  /* requests in work */
	BUDGET_PROCESSES, /* live */
	BUDGET_WATCHERS,
	BUDGET_BYTES, /* the total of all classes; charged through shares */
	BUDGET_KINDS,
};

enum budget_class {
	BUDGET_CLASS_UNAUTHENTICATED,
	BUDGET_CLASS_REQUESTS,
	BUDGET_CLASS_RESPONSES,
	BUDGET_CLASS_WATCH,
	BUDGET_CLASS_STDIN,
	BUDGET_CLASS_UPLOADS,
	BUDGET_CLASS_PROCESSES,
	BUDGET_CLASS_KEPT,
	BUDGET_CLASSES,
};

/* The limits that hold unless main sets others; BUDGET_CONNECTIONS follows RLIMIT_NOFILE. */
#define BUDGET_DEFAULT_CONNECTIONS 16384
#define BUDGET_DEFAULT_STREAMS	   16384
#define BUDGET_DEFAULT_PROCESSES   16384
#define BUDGET_DEFAULT_WATCHERS	   4096
#define BUDGET_DEFAULT_BYTES	   (256u * 1024 * 1024)

/* The last part of the total. Shares of at most their class's `small` bytes can use it. */
#define BUDGET_RESERVE_BYTES (16u * 1024 * 1024)

/* Charged to nobody: the first bytes of each share of UNAUTHENTICATED and REQUESTS. */
#define BUDGET_FREE_BYTES ((size_t)4096)

struct budget_account {
	size_t used;
	size_t limit;
	size_t peak; /* the most that was used at once */
};

struct budget {
	size_t used[BUDGET_KINDS];
	size_t limit[BUDGET_KINDS];
	size_t peak[BUDGET_KINDS];
	struct budget_account classes[BUDGET_CLASSES];
	struct mem_trim *trim; /* is told when something is given back; NULL: nobody is */
};

/* What one holder is charged. All zero: charges and gives back nothing. */
struct budget_share {
	struct budget *budget; /* borrowed; outlives the share */
	enum budget_class class;
	size_t used;
};

/*
 * A charge for one object with several holders (an event in the queues of several watchers): it is
 * made for the first holder and given back when the last one goes. All zero: no holder.
 */
struct budget_charge {
	struct budget_share share;
	unsigned holders;
};

void budget_init(struct budget *b);

/*
 * Counts n more: true if they fit below the limit. Otherwise changes nothing. Not for BUDGET_BYTES.
 */
bool budget_take(struct budget *b, enum budget_kind kind, size_t n);

/*
 * Gives n back. Giving back more than was taken is a fault of the daemon: it is logged and the
 * count becomes zero; under a sanitizer the process aborts. The same holds for shares.
 */
void budget_give(struct budget *b, enum budget_kind kind, size_t n);

/* An empty share of the class. */
void budget_share_init(struct budget_share *share, struct budget *b, enum budget_class class);

/* Charges n more bytes: true if they fit. Otherwise changes nothing. */
bool budget_share_take(struct budget_share *share, size_t n);
void budget_share_give(struct budget_share *share, size_t n);

/* Makes `n` the bytes of the share. False if the share would have to grow and can't. */
bool budget_share_set(struct budget_share *share, size_t n);

/* How many bytes budget_share_take would accept now. */
size_t budget_share_room(const struct budget_share *share);

/*
 * Makes the share one of another class, with what it holds. False if the new class has no room; the
 * share stays in its class then.
 */
bool budget_share_move(struct budget_share *share, enum budget_class class);

/* Gives everything back. The share can be used again. */
void budget_share_clear(struct budget_share *share);

/*
 * One more holder of an object of `bytes`. False if it is the first one and the charge does not
 * fit. Many objects may be small, so they have no part of the reserve.
 */
bool budget_charge_hold(struct budget_charge *charge, struct budget *b, enum budget_class class,
			size_t bytes);
void budget_charge_drop(struct budget_charge *charge);

/* "connections", …; "unauthenticated", …: for the log and the metrics. */
const char *budget_kind_name(enum budget_kind kind);
const char *budget_class_name(enum budget_class class);

#endif
