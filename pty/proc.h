/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process: what is known about it, who reads its output, and when it is over.
 *
 * Facts decide: its leader has exited (the pidfd is readable), each output is at its end, a client
 * has killed it, its deadline has passed, the grace of X-Envd-End: leader is over. They come in any
 * order. proc_settle derives the
 * state from them:
 *
 *	RUNNING ── the leader exited ──► DRAINING ── all outputs at their end,
 *	                                             or killed, or past the deadline ──► ENDED
 *
 * The leader is reaped at the end and not before, so that its pid names this process and no other
 * while it is in the table. An ENDED process leaves the table; it is freed with its last reference.
 * Loop only.
 */
#ifndef PTY_PROC_H
#define PTY_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/budget.h"
#include "base/loop.h"
#include "pty/exit_status.h"
#include "pty/input.h"
#include "pty/kept.h"
#include "pty/kill.h"
#include "pty/message.h"
#include "pty/spawn.h"
#include "pty/tap.h"

struct cgroup;
struct context;
struct proc_table;
struct start_key;

/* The most bytes in one `data` event. */
#define PROC_PIPE_CHUNK_BYTES (32 * 1024)
#define PROC_PTY_CHUNK_BYTES  (16 * 1024)

/* Chunks that are read of one output before others get their turn. */
#define PROC_CHUNKS_A_TURN 8

/*
 * A pipe is made larger than the kernel's 64 KiB if the process has filled this many chunks in a
 * row: fewer switches between it and its readers.
 */
#define PROC_WIDEN_AFTER_CHUNKS 16
#define PROC_WIDE_PIPE_BYTES	(256 * 1024)

/*
 * What is still read of an output whose end is not waited for. A pipe can hold no more than the
 * larger of PROC_WIDE_PIPE_BYTES and what the process made of it (F_SETPIPE_SZ), so its content is
 * asked for (FIONREAD) and read up to this bound: the kernel's limit for unprivileged users
 * (pipe-max-size) as it is by default.
 */
#define PROC_REST_MAX_BYTES (1024 * 1024)

/*
 * X-Envd-End: leader. The process ends this long after its leader, also if background children
 * still have its outputs open. What they write later is read and discarded.
 */
#define PROC_LEADER_GRACE_MS 200

enum proc_state {
	PROC_RUNNING,
	PROC_DRAINING,
	PROC_ENDED,
};

struct proc;

struct output {
	struct proc *proc;
	enum output_kind kind;
	int fd;	    /* owned; for a terminal its master, which is also what input is written to */
	bool ended; /* nobody can write any more */
	struct event event;
	bool reading; /* the event is set */
	bool wide;
	unsigned full_chunks; /* in a row */
	uint64_t total_bytes;
};

struct proc {
	struct context *daemon;
	struct proc_table *table;
	unsigned refs;
	enum proc_state state; /* proc_set_state is the only writer */

	pid_t pid;
	int pidfd; /* owned; -1 once it is handed over to be reaped */
	bool is_pty;
	bool not_child;	       /* adopted after a crash: another process is its parent */
	bool ends_with_leader; /* X-Envd-End: leader */
	bool explains_end;     /* X-Envd-Explain-End on its Start */
	enum kill_scope scope;
	struct cgroup *cgroup; /* its own; owned; NULL: none */
	char *tag;	       /* owned; NULL: none */
	uint8_t *config;       /* owned: the packed process.ProcessConfig, for List */
	size_t config_bytes;
	struct budget_share share; /* BUDGET_CLASS_PROCESSES: tag and config */
	uint64_t started_ms;
	uint64_t operation; /* the number of the request that began it, for the log */

	/* Facts. */
	bool exited;
	bool killed;
	bool deadline_passed;
	bool grace_passed; /* ends_with_leader: PROC_LEADER_GRACE_MS since its exit */

	struct event exit_event;
	struct timer deadline;
	struct timer grace;
	uint64_t deadline_ms;	      /* by clock_monotonic_ms; 0: none */
	uint64_t adopted_deadline_ms; /* adopted: the time left, counted from the thaw; 0: none */
	struct output outputs[2];
	unsigned n_outputs;
	struct input input;

	struct kept *kept;	     /* owned reference; NULL: output is not kept */
	struct start_key *start_key; /* owned until the exit is retained; NULL: none */
	uint64_t keep_for_ms;	     /* how long the exit is retained; 0: PROC_RETAIN_MS */

	struct tap_list taps;
	unsigned n_taps;
	unsigned full_taps; /* while there is one, nothing is read */
	struct timer stall; /* set while a full tap is not the only one */

	struct kill_list kills;
	unsigned n_kill_works; /* kills whose worker needs the pid */
	struct exit_status exit_status;

	TAILQ_ENTRY(proc) link; /* of the table: live ones in the order of their start, or ended */
	struct proc *hash_next;
};

/*
 * A process for a child that a spawn has started, put into the table. Takes the descriptors of the
 * spawn and the cgroup (NULL: none); copies the rest. The caller has taken one of BUDGET_PROCESSES,
 * which is given back when the leader is reaped, and has charged `share`, which moves here.
 * Borrowed from the table.
 */
struct proc *proc_new(struct proc_table *table, struct context *daemon, const struct spawn *spawn,
		      struct cgroup *cgroup, const Process__StartRequest *request,
		      enum kill_scope scope, const struct budget_share *share);

struct proc *proc_ref(struct proc *p);
void proc_unref(struct proc *p);

/* Kills the process `ms` from now, whether anybody reads it then or not. */
void proc_set_deadline(struct proc *p, uint64_t ms);
void proc_pass_deadline(struct proc *p);

/* Turns the state into events. To be called when a tap came, went, filled up or emptied. */
void proc_update(struct proc *p);

/* Derives the state from the facts. To be called when a fact has changed. */
void proc_settle(struct proc *p);

/* Reads all outputs, or one that is readable, and settles. */
void proc_pump(struct proc *p);
void proc_output_readable(struct output *o);

/* Has the leader of an ended process reaped, unless a kill still needs its pid. */
void proc_reap(struct proc *p);

/* The daemon ends: lets go of a live process, which goes on. Gives up the table's reference. */
void proc_abandon(struct proc *p);

#endif
