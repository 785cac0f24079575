/*
 * The processes: those that live, by pid and by tag and in the order of their start, and how those
 * ended that ended lately.
 */
#ifndef PTY_PROC_TABLE_H
#define PTY_PROC_TABLE_H

#include <stddef.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/loop.h"
#include "pty/exit_status.h"
#include "pty/zombie.h"

struct mem_trim;
struct proc;

/* For how long an exit stays known, and of how many; the oldest goes first. */
#define PROC_RETAIN_MS	30000
#define PROC_RETAIN_MAX 32768

TAILQ_HEAD(proc_list, proc);
TAILQ_HEAD(retained_list, retained_exit);

/* An exit, for a Connect that comes late. */
struct retained_exit {
	pid_t pid;
	struct exit_status exit_status;
	uint64_t until_ms;
	char *tag; /* NULL: none */
	TAILQ_ENTRY(retained_exit) link;
	TAILQ_ENTRY(retained_exit) tag_link;
	struct retained_exit *hash_next;
};

struct proc_table {
	unsigned retain_ms;    /* PROC_RETAIN_MS, but in tests */
	unsigned stall_ms;     /* TAP_STALL_MS, likewise */
	struct proc_list live; /* in the order of their start */
	size_t n_live;
	struct proc_list ended; /* whose reference the table gives up in the next turn */
	struct proc **by_pid;	/* n_buckets, a power of two */
	struct retained_exit **retained_by_pid;
	size_t n_buckets;
	struct retained_list retained; /* in the order of their end */
	struct retained_list tagged;   /* those of them that have a tag */
	size_t n_retained;
	struct timer expiry; /* of the oldest */

	/* Of all processes there were. */
	uint64_t output_bytes;
	uint64_t oom_kills;

	struct zombies zombies; /* ended leaders that a tracer holds */
	struct defer bury;
	struct mem_trim *trim; /* is told when exits are forgotten; or NULL */
};

/* Borrows the loop, the budget and the trim, which may be NULL. */
void proc_table_init(struct proc_table *t, struct loop *loop, struct budget *budget,
		     struct mem_trim *trim);

/* Lets go of the live processes, which go on. */
void proc_table_clear(struct proc_table *t);

/*
 * Takes over the creator's reference. What was retained of an earlier process with this pid, or
 * this tag, is forgotten: neither names that one any more.
 */
void proc_table_add(struct proc_table *t, struct proc *p);

/* The process has ended: it is found as an exit from now on. Its reference goes in the next turn. */
void proc_table_retire(struct proc_table *t, struct proc *p);

/* Borrowed; NULL: none. Of several with one tag the last that started. */
struct proc *proc_table_find(struct proc_table *t, pid_t pid);
struct proc *proc_table_find_tag(struct proc_table *t, const char *tag);
const struct retained_exit *proc_table_exit(struct proc_table *t, pid_t pid);
const struct retained_exit *proc_table_exit_tag(struct proc_table *t, const char *tag);

#endif
