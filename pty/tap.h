/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taps: the readers of a process' output. Each one is a Start or Connect call.
 *
 * A chunk is encoded once for each encoding among the taps. While a tap's stream is full, the
 * output is not read, so the process is held up. If there are other taps, a full one that takes
 * nothing for TAP_STALL_MS is cut off, so that the others go on (compatibility/processes).
 */
#ifndef PTY_TAP_H
#define PTY_TAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "pty/exit_status.h"
#include "pty/kept.h"
#include "rpc/call.h"

struct proc;
struct start;
struct start_key;

#define TAP_STALL_MS 5000

/* How often a full tap is checked within TAP_STALL_MS. */
#define TAP_STALL_CHECKS 10

/*
 *	STARTING ── the process is there ──► LIVE ◄── writable ── FULL
 *	                 └── with kept output ──► REPLAYING ── caught up ──► LIVE
 * 	                                             └── the process ended ──► REPLAYING_END ──►
 * 	                                             freed
 */
enum tap_state {
	TAP_STARTING,
	TAP_LIVE,
	TAP_FULL,	   /* until `writable` */
	TAP_REPLAYING,	   /* is sent kept output; the process is not read meanwhile */
	TAP_REPLAYING_END, /* the same, of a process that has ended; its end event follows */
};

struct tap {
	struct rpc_call *call;
	enum tap_state state;		/* tap_set_state is the only writer */
	struct proc *proc;		/* NULL before it is attached */
	struct start *start;		/* the Start whose process is being spawned; or NULL */
	bool ends_at_deadline;		/* the deadline of the process is that of the call */
	bool explain;			/* the end event has the members of X-Envd-Explain-End */
	size_t pending_bytes;		/* of the call, at the last check */
	uint64_t took_ms;		/* when the client was last seen to take bytes */
	struct start_key *key;		/* whose start it waits for; or NULL */
	struct kept *kept;		/* a reference; NULL: no kept output is wanted */
	struct kept_cursor cursor;	/* while REPLAYING */
	struct exit_status exit_status; /* in REPLAYING_END */
	TAILQ_ENTRY(tap) link;
};

TAILQ_HEAD(tap_list, tap);

/*
 * A tap for this call, set as the call's data. It is freed by tap_close or by the end it is sent.
 */
struct tap *tap_new(struct rpc_call *call);

/* Whether the client asked for X-Envd-Explain-End. */
bool tap_explains(const struct rpc_call *call);

/*
 * Attaches the tap to a process: the reader gets `start` and the events from now on. May free it.
 */
void tap_attach(struct tap *tap, struct proc *p);

/*
 * To be called before tap_attach: the reader is first sent the kept output from these offsets on.
 * Keeps a reference.
 */
void tap_want_kept(struct tap *tap, struct kept *kept, const uint64_t from[OUTPUT_KINDS]);

/* The process ended before: the reader gets `start`, the kept output it wants, and the end. */
void tap_replay_exit(struct tap *tap, pid_t pid, const struct exit_status *exit_status);

/* Detaches the tap from its process, if it has one, and frees it. The call goes on without it. */
void tap_close(struct tap *tap);

/* The call takes more: `writable` and `keepalive` of Start and Connect. */
void tap_writable(struct tap *tap);
void tap_keepalive(struct tap *tap);

/* Sends a message to every tap of the process. */
void taps_send(struct proc *p, const ProtobufCMessage *message);

/* Sends the end event to every tap and finishes its stream. */
void taps_end(struct proc *p);

/*
 * The deadline of the process has passed. The stream of the Start ends with deadline_exceeded and
 * without an end event, if the call has the same deadline (compatibility/details 59, 60).
 */
void taps_pass_deadline(struct proc *p);

/* Starts or stops the timer that checks full taps while others wait. */
void taps_update(struct proc *p);

/* The stall timer of a struct proc: cuts off taps that took nothing for too long. */
void taps_check_stall(void *arg);

#endif
