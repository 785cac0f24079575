/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process: its state, its output, its readers, and its end.
 *
 * The state derives from facts: the leader has exited (the pidfd is readable), each output is at
 * its end, a client has killed the process, its deadline has passed, the grace period of
 * X-Envd-End: leader has passed. The facts come in any order. proc_settle derives the state from
 * them:
 *
 *	RUNNING ── the leader exited ──► DRAINING ── all outputs at their end,
 *	                                             or killed, or past the deadline ──► ENDED
 *
 * The leader is reaped only at the end, so that its pid names this process and no other while the
 * process is in the table. An ENDED process leaves the table and is freed with its last reference.
 * Loop only.
 */
#ifndef PTY_PROC_H
#define PTY_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/budget.h"
#include "base/log.h"
#include "base/loop.h"
#include "pty/exit_status.h"
#include "pty/input.h"
#include "pty/kept.h"
#include "pty/kill.h"
#include "pty/message.h"
#include "pty/spawn.h"
#include "pty/store.h"
#include "pty/tap.h"

struct cgroup;
struct context;
struct proc_table;
struct start_key;

/* The maximum number of bytes in one `data` event. */
#define PROC_PIPE_CHUNK_BYTES (32 * 1024)
#define PROC_PTY_CHUNK_BYTES  (16 * 1024)

/* Maximum number of reads of one output before others get their turn. */
#define PROC_READS_A_TURN 8

/*
 * A pipe is enlarged from the kernel's 64 KiB to PROC_WIDE_PIPE_BYTES if the process has filled
 * this many chunks in a row, which saves context switches between the process and the daemon.
 */
#define PROC_WIDEN_AFTER_CHUNKS 16
#define PROC_WIDE_PIPE_BYTES	(256 * 1024)

/*
 * The maximum that is read from an output when the process is over but the output is not at its
 * end. A process can enlarge its pipe (F_SETPIPE_SZ), so the number of bytes in the pipe is queried
 * (FIONREAD) and read up to this bound, the kernel's default limit for unprivileged users
 * (pipe-max-size).
 */
#define PROC_REST_MAX_BYTES (1024 * 1024)

/*
 * X-Envd-End: leader. The process ends this long after the exit of its leader, even if background
 * children still have its outputs open. Later output of these children is read and discarded.
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
	int fd;	    /* owned; for a terminal its master, to which input is written, too */
	bool ended; /* no process can write any more */
	struct fd_event event;
	bool reading; /* the event is added */
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
	int pidfd; /* owned; -1 after zombies_add */
	bool is_pty;
	bool not_child;	       /* adopted after a crash: another process is its parent */
	bool ends_with_leader; /* X-Envd-End: leader */
	bool explains_end;     /* X-Envd-Explain-End on its Start */
	enum kill_scope scope;
	struct cgroup *cgroup; /* its own; owned; NULL: none */
	char *tag;	       /* owned; NULL: none */
	uint8_t *config;       /* owned: the encoded process.ProcessConfig, for List */
	size_t config_bytes;
	struct budget_share share; /* BUDGET_CLASS_PROCESSES: tag and config */
	uint64_t started_ms;
	struct log_request request; /* that started it */
	char *trace;		    /* owned: the texts of `request`; NULL: none */
	bool readopted;		    /* a daemon before this one started it */

	/* Facts. */
	bool exited;
	bool killed;
	bool deadline_passed;
	bool grace_passed; /* ends_with_leader: PROC_LEADER_GRACE_MS since its exit */

	struct fd_event exit_event;
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
	unsigned full_taps; /* while not 0, outputs are not read */
	struct timer stall; /* runs while at least one tap is full and another is not */

	struct kill_list kills;
	unsigned n_kill_works; /* kills whose worker still needs the pid */
	struct exit_status exit_status;
	struct proc_store store;

	TAILQ_ENTRY(proc) link; /* of the table: live ones in the order of their start, or ended */
	struct proc *hash_next;
};

/*
 * Creates a process for a spawned child and adds it to the table. Takes ownership of the spawn's
 * descriptors and of the cgroup (NULL: none); copies the rest. The caller has taken one of
 * BUDGET_PROCESSES, which is given back when the leader is reaped, and has charged `share`, which
 * moves to the process. The result is borrowed from the table.
 */
struct proc *proc_new(struct proc_table *table, struct context *daemon, const struct spawn *spawn,
		      struct cgroup *cgroup, const Process__StartRequest *request,
		      enum kill_scope scope, const struct budget_share *share);

/*
 * Records the request that started the process, for its lines in the log. Copies the texts; the
 * caller has charged proc_request_bytes to the share of the process.
 */
void proc_set_request(struct proc *p, const struct log_request *request);
size_t proc_request_bytes(const struct log_request *request);

struct proc *proc_ref(struct proc *p);
void proc_unref(struct proc *p);

/* Sets a deadline `ms` from now, at which the process is killed, with or without readers. */
void proc_set_deadline(struct proc *p, uint64_t ms);
void proc_pass_deadline(struct proc *p);

/*
 * Updates events and timers from the state. Call it when a tap was added or removed, or became full
 * or writable.
 */
void proc_update(struct proc *p);

/* Derives the state from the facts. Call it when a fact has changed. */
void proc_settle(struct proc *p);

/* Read all outputs, or one readable output, and call proc_settle. */
void proc_pump(struct proc *p);
void proc_output_readable(struct output *o);

/* Begins to reap the leader of an ended process (zombies_add), unless a kill needs its pid. */
void proc_reap(struct proc *p);

/*
 * Releases a live process, which keeps running, because the daemon ends. Drops the table's
 * reference.
 */
void proc_abandon(struct proc *p);

#endif
