/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's budget: limits the objects and the memory that peers may occupy.
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
 * | WATCH           | queued events                           |  64 MiB |  8 MiB |  4 KiB |     0 |
 * | STDIN           | input that a process has not read       |  64 MiB | 33 MiB |  4 KiB |     0 |
 * | UPLOADS         | file pieces on their way to a worker    |  96 MiB | 16 MiB | 64 KiB |     0 |
 * | PROCESSES       | live processes, long tags of ended ones |  64 MiB | 33 MiB | 64 KiB |     0 |
 * | KEPT            | output kept for later readers           | 128 MiB | 97 MiB |  4 KiB |     0 |
 *
 * all, each: the caps of the class and of one share. The caps of all classes add up to more than
 * the total: a single busy class may use most of the memory, but never all of it.
 * small: a share below this size may use the reserve (BUDGET_RESERVE_BYTES), which larger shares
 * can't use, and is not bound by its class's cap. Thus a signal or a listing of processes succeeds
 * even if large messages fill their class. Peers without a token can't use the reserve.
 * free: the first bytes of each share are not charged, so the budget does not refuse a small
 * request. The limits of connections and streams bound the number of these shares.
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
	BUDGET_STREAMS,	  /* requests in progress */
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

/* The default limits; main may set others. BUDGET_CONNECTIONS also depends on RLIMIT_NOFILE. */
#define BUDGET_DEFAULT_CONNECTIONS 16384
#define BUDGET_DEFAULT_STREAMS	   16384
#define BUDGET_DEFAULT_PROCESSES   16384
#define BUDGET_DEFAULT_WATCHERS	   4096
#define BUDGET_DEFAULT_BYTES	   (256u * 1024 * 1024)

/* The last part of the total. Shares of at most their class's `small` bytes can use it. */
#define BUDGET_RESERVE_BYTES (16u * 1024 * 1024)

/* The first bytes of each share of UNAUTHENTICATED and REQUESTS, which are not charged. */
#define BUDGET_FREE_BYTES ((size_t)4096)

struct budget_account {
	size_t used;
	size_t limit;
	size_t peak; /* the maximum of `used` so far */
};

struct budget {
	size_t used[BUDGET_KINDS];
	size_t limit[BUDGET_KINDS];
	size_t peak[BUDGET_KINDS];
	struct budget_account classes[BUDGET_CLASSES];
	struct mem_trim *trim; /* notified when bytes or counts are given back; may be NULL */
};

/* The bytes charged to one holder. A share that is all zero charges and gives back nothing. */
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
 * Adds n to a count and returns true; if the sum would exceed the limit, changes nothing and
 * returns false. Not for BUDGET_BYTES.
 */
bool budget_take(struct budget *b, enum budget_kind kind, size_t n);

/*
 * Adds n, also beyond the limit: for objects that exist already, as the processes that a daemon
 * takes over. budget_take fails until the count is below the limit again.
 */
void budget_force(struct budget *b, enum budget_kind kind, size_t n);

/*
 * Gives n back. If n is more than was taken, the daemon has a fault: the fault is logged and the
 * count becomes zero; under a sanitizer the process aborts. The same holds for shares.
 */
void budget_give(struct budget *b, enum budget_kind kind, size_t n);

/* Initialises an empty share of the class. */
void budget_share_init(struct budget_share *share, struct budget *b, enum budget_class class);

/* Charges n more bytes and returns true; if they do not fit, changes nothing, returns false. */
bool budget_share_take(struct budget_share *share, size_t n);
void budget_share_give(struct budget_share *share, size_t n);

/* Sets the bytes of the share to n. Returns false if the share must grow and they do not fit. */
bool budget_share_set(struct budget_share *share, size_t n);

/* Returns the number of bytes that budget_share_take would accept now. */
size_t budget_share_room(const struct budget_share *share);

/*
 * Moves the share with its bytes to another class. If the new class has no room, changes nothing
 * and returns false.
 */
bool budget_share_move(struct budget_share *share, enum budget_class class);

/* Gives everything back. The share can be used again. */
void budget_share_clear(struct budget_share *share);

/*
 * Adds a holder to an object of `bytes`. Returns false if it is the first holder and the charge
 * does not fit. These charges can't use the reserve: many small objects would use it up.
 */
bool budget_charge_hold(struct budget_charge *charge, struct budget *b, enum budget_class class,
			size_t bytes);
void budget_charge_drop(struct budget_charge *charge);

/* Return names for the log and the metrics: "connections", …; "unauthenticated", …. */
const char *budget_kind_name(enum budget_kind kind);
const char *budget_class_name(enum budget_class class);

#endif
