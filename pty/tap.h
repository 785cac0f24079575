/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taps: the readers of a process's output. Each tap is a Start or Connect call.
 *
 * A chunk is encoded once for each encoding among the taps. While one tap's stream is full, the
 * output is not read, which blocks the process. If there are other taps, a full tap that takes no
 * bytes for TAP_STALL_MS is cut off, so that the others continue (compatibility/processes).
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
 *	STARTING ── process started ──► LIVE ◄── writable ── FULL
 *	     └── with kept output ──► REPLAYING ── caught up ──► LIVE
 *	                                  └── process ended ──► REPLAYING_END ──► freed
 */
enum tap_state {
	TAP_STARTING,
	TAP_LIVE,
	TAP_FULL,	   /* until `writable` */
	TAP_REPLAYING,	   /* receives kept output; the outputs of the process are not read */
	TAP_REPLAYING_END, /* the same for an ended process; its end event follows */
};

struct tap {
	struct rpc_call *call;
	enum tap_state state;		/* tap_set_state is the only writer */
	struct proc *proc;		/* NULL before it is attached */
	struct start *start;		/* the Start whose process is being spawned; or NULL */
	bool ends_at_deadline;		/* process and call have the same deadline */
	bool explain;			/* the end event has the members of X-Envd-Explain-End */
	size_t pending_bytes;		/* pending bytes of the call at the last check */
	uint64_t took_ms;		/* time at which the client last took bytes */
	struct start_key *key;		/* the key whose start it waits for; or NULL */
	struct kept *kept;		/* a reference; NULL: the client wants no kept output */
	struct kept_cursor cursor;	/* while REPLAYING */
	struct exit_status exit_status; /* in REPLAYING_END */
	TAILQ_ENTRY(tap) link;
};

TAILQ_HEAD(tap_list, tap);

/*
 * Creates a tap and sets it as the call's data. tap_close frees it, and so does sending the end
 * event.
 */
struct tap *tap_new(struct rpc_call *call);

/* Returns true if the request has X-Envd-Explain-End. */
bool tap_explains(const struct rpc_call *call);

/* Attaches the tap to a process: sends `start`, then each event from now on. May free the tap. */
void tap_attach(struct tap *tap, struct proc *p);

/*
 * Call it before tap_attach: the reader first receives the kept output from these offsets on. Takes
 * a reference.
 */
void tap_want_kept(struct tap *tap, struct kept *kept, const uint64_t from[OUTPUT_KINDS]);

/*
 * For a process that has ended: sends `start`, the kept output that the client wants, and the end
 * event.
 */
void tap_replay_exit(struct tap *tap, pid_t pid, const struct exit_status *exit_status);

/* Detaches the tap from its process, if it has one, and frees the tap. Does not end the call. */
void tap_close(struct tap *tap);

/* The callbacks `writable` and `keepalive` of Start and Connect. */
void tap_writable(struct tap *tap);
void tap_keepalive(struct tap *tap);

/* Sends a message to every tap of the process. */
void taps_send(struct proc *p, const ProtobufCMessage *message);

/* Sends the end event to every tap and finishes its stream. */
void taps_end(struct proc *p);

/*
 * Call it when the deadline of the process has passed. If the Start call has the same deadline, its
 * stream ends with deadline_exceeded and without an end event (compatibility/details 59, 60).
 */
void taps_pass_deadline(struct proc *p);

/* Starts or stops the timer that checks full taps. */
void taps_update(struct proc *p);

/*
 * The function of the stall timer; `arg` is the struct proc. Cuts off taps that took no bytes for
 * TAP_STALL_MS.
 */
void taps_check_stall(void *arg);

#endif
