/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of processes: the live ones by pid, by tag and in the order of their start, and the
 * exit statuses of processes that ended in the last PROC_RETAIN_MS.
 */
#ifndef PTY_PROC_TABLE_H
#define PTY_PROC_TABLE_H

#include <stddef.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/loop.h"
#include "pty/discard.h"
#include "pty/exit_status.h"
#include "pty/kept.h"
#include "pty/store.h"
#include "pty/zombie.h"

struct loop;
struct mem_trim;
struct start_key;
struct timed_exit;
struct proc;

/*
 * The time for which an exit is retained, and the maximum number of them; beyond it, the oldest one
 * is dropped.
 */
#define PROC_RETAIN_MS	30000
#define PROC_RETAIN_MAX 32768

/*
 * A longer tag of a retained exit is charged to BUDGET_CLASS_PROCESSES. The number of exits bounds
 * the memory of shorter tags. If the class has no room, the oldest exits are dropped; if that does
 * not suffice, the exit is known by its pid only.
 */
#define PROC_RETAIN_TAG_FREE_BYTES 256

TAILQ_HEAD(proc_list, proc);
TAILQ_HEAD(retained_list, retained_exit);

/* An exit, for a Connect that comes after it. */
struct retained_exit {
	pid_t pid;
	bool is_pty;
	struct exit_status exit_status;
	uint64_t until_ms;
	char *tag; /* NULL: none */
	uint64_t total_bytes[OUTPUT_KINDS];
	struct kept *kept;		 /* a reference; NULL: no output was kept */
	struct start_key *start_key;	 /* owned; NULL: none */
	struct timed_exit *timed;	 /* NULL: dropped after retain_ms */
	TAILQ_ENTRY(retained_exit) link; /* of `retained`, or of `timed` */
	TAILQ_ENTRY(retained_exit) tag_link;
	struct retained_exit *hash_next;
};

struct proc_table {
	struct pty_store store;		  /* keeps descriptors across a crash; may have no hooks */
	struct proc_store_list store_due; /* processes that the store must still take */
	struct timer store_retry;	  /* pending: a description could not be made */
	bool paused;	       /* outputs are not read: the daemon is about to be replaced */
	unsigned retain_ms;    /* PROC_RETAIN_MS; tests set others */
	unsigned stall_ms;     /* TAP_STALL_MS; tests set others */
	struct proc_list live; /* in the order of their start */
	size_t n_live;
	struct proc_list ended; /* the table drops its reference in the next turn of the loop */
	struct proc **by_pid;	/* n_buckets, a power of two */
	struct retained_exit **retained_by_pid;
	size_t n_buckets;
	struct retained_list retained; /* in the order of their end */
	struct retained_list timed;    /* exits with X-Envd-Keep-For */
	struct retained_list tagged;   /* exits that have a tag */
	size_t n_retained;	       /* in `retained` and `timed` */
	struct budget_share tags;      /* of retained exits */
	struct loop *loop;
	struct timer expiry; /* of the oldest */

	/* Sums over all processes since the daemon's start. */
	uint64_t output_bytes;
	uint64_t oom_kills;

	struct discards discards;
	struct zombies zombies; /* ended leaders that a tracer holds */
	struct defer bury;
	struct mem_trim *trim; /* notified when exits are dropped; may be NULL */
};

/* Borrows the loop, the budget and the trim, which may be NULL. */
void proc_table_init(struct proc_table *t, struct loop *loop, struct budget *budget,
		     struct mem_trim *trim);

/* Releases the live processes, which keep running. */
void proc_table_clear(struct proc_table *t);

/*
 * Adds the process and takes over the creator's reference. Drops the retained exits with the same
 * pid or tag, which name the new process now.
 */
void proc_table_add(struct proc_table *t, struct proc *p);

/* Replaces an ended process by its retained exit. */
void proc_table_retire(struct proc_table *t, struct proc *p);

/* Find a live process. Borrowed; NULL: none. If several have the tag, the one that started last. */
struct proc *proc_table_find(struct proc_table *t, pid_t pid);
struct proc *proc_table_find_tag(struct proc_table *t, const char *tag);

/*
 * Retains the exit of a process that was never in this table, for `ms` from now. Copies. The result
 * is borrowed until the next call; the caller may add kept output and start key.
 */
struct retained_exit *proc_table_retain(struct proc_table *t, pid_t pid, const char *tag,
					const struct exit_status *exit_status, uint64_t ms);

/* Find a retained exit. Borrowed until the next call; NULL: none. */
const struct retained_exit *proc_table_exit(struct proc_table *t, pid_t pid);
const struct retained_exit *proc_table_exit_tag(struct proc_table *t, const char *tag);

#endif
