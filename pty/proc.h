/*
 * A process: what is known of it, who reads it, and when it is over.
 *
 * The facts are these: its leader exited (the pidfd), each output came to its end, a client killed
 * it, its deadline passed. They come in any order. proc_settle alone decides from them:
 *
 *	RUNNING ── the leader exited ──► DRAINING ── every output at its end,
 *	                                             or killed, or past the deadline ──► ENDED
 *
 * The leader is reaped at the end and not before, so that its pid names this process and no other
 * as long as it is in the table. Once ENDED the object is out of the table and is freed when its
 * last reference goes. Loop only.
 */
#ifndef PTY_PROC_H
#define PTY_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/loop.h"
#include "pty/exit_status.h"
#include "pty/input.h"
#include "pty/message.h"
#include "pty/spawn.h"
#include "pty/tap.h"

struct cgroup;
struct proc_table;
struct context;

/* The most a `data` event carries. */
#define PROC_PIPE_CHUNK_BYTES (32 * 1024)
#define PROC_PTY_CHUNK_BYTES  (16 * 1024)

/* Chunks that are read of one output before others get their turn. */
#define PROC_CHUNKS_A_TURN 8

/*
 * A pipe is made larger than the kernel's 64 KiB for a process that has filled this many chunks in
 * a row: fewer switches between it and its readers.
 */
#define PROC_WIDEN_AFTER_CHUNKS 16
#define PROC_WIDE_PIPE_BYTES	(256 * 1024)

/* What is still taken out of an output whose end is not waited for: all that its pipe can hold. */
#define PROC_REST_MAX_BYTES PROC_WIDE_PIPE_BYTES

enum proc_state {
	PROC_RUNNING,
	PROC_DRAINING,
	PROC_ENDED,
};

/* Whom KILL and the deadline reach. */
enum kill_scope {
	KILL_SCOPE_LEADER,
	KILL_SCOPE_SESSION, /* the session the process leads, while the leader lives */
	KILL_SCOPE_TREE,    /* all that is in its cgroup; where it has none, the session */
};

struct proc;

struct output {
	struct proc *proc;
	enum output_kind kind;
	int fd;	    /* owned; a terminal's master is also what input is written to */
	bool ended; /* nobody will write any more */
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
	enum proc_state state;

	pid_t pid;
	int pidfd;
	bool is_pty;
	enum kill_scope scope;
	struct cgroup *cgroup; /* its own; owned; NULL: none */
	char *tag;	       /* owned; NULL: none */
	uint8_t *config;       /* owned: the packed process.ProcessConfig, for List */
	size_t config_bytes;
	uint64_t started_ms;
	uint64_t operation; /* the number of the request that began it, for the log */

	/* Facts. */
	bool exited;
	bool killed;
	bool deadline_passed;

	struct event exit_event;
	struct timer deadline;
	struct output outputs[2];
	unsigned n_outputs;
	struct input input;

	struct tap_list taps;
	unsigned n_taps;
	unsigned full_taps; /* as long as there is one, nothing is read */
	struct timer stall; /* while a full tap is not the only one */

	unsigned kills; /* that are still at work */
	struct exit_status exit_status;

	TAILQ_ENTRY(proc) link; /* of the table: live ones in the order of their start, or ended */
	struct proc *hash_next;
};

/*
 * The process a spawn has brought about, put into the table. Takes the spawn's descriptors and the
 * cgroup (NULL: none); copies the rest. The caller has taken one of BUDGET_PROCESSES, which the end gives back. Borrowed from
 * the table.
 */
struct proc *proc_new(struct proc_table *table, struct context *daemon, const struct spawn *spawn,
		      struct cgroup *cgroup, const Process__StartRequest *request,
		      enum kill_scope scope);

struct proc *proc_ref(struct proc *p);
void proc_unref(struct proc *p);

/* Kills it `ms` from now, whether anybody reads it then or not. */
void proc_set_deadline(struct proc *p, uint64_t ms);
void proc_pass_deadline(struct proc *p);

/* A client's TERM, to the leader. 0 or -errno. */
int proc_terminate(struct proc *p);

/*
 * A client's KILL, to all that the scope reaches. PROC_KILL_DONE, or PROC_KILL_WAITS where they
 * are being looked for: then `done`, which may be NULL, comes from the loop. Or -errno.
 */
enum proc_kill_result {
	PROC_KILL_DONE,
	PROC_KILL_WAITS,
};
typedef void proc_killed_fn(void *arg);
int proc_kill(struct proc *p, proc_killed_fn *done, void *arg);

/* Turns its state into events: called when a tap came, went, filled up or emptied. */
void proc_update(struct proc *p);

/* Reads all outputs, or the one that has something, and sees whether that was the end. */
void proc_pump(struct proc *p);
void proc_output_readable(struct output *o);

/* The daemon ends: lets go of a live process, which goes on. Gives up the table's reference. */
void proc_abandon(struct proc *p);

/* "session", … ; -1 where the text is none of them. */
int kill_scope_parse(const char *text, enum kill_scope *ret);

#endif
