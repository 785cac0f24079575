/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taps: the readers of a process' output. Each one is a Start or Connect call.
 *
 * A chunk is encoded once for each encoding among the taps. While a tap's stream is full, the output
 * is not read, so the process is held up. If there are other taps, a full one that takes nothing for
 * TAP_STALL_MS is cut off, so that the others go on (compatibility/processes).
 */
#ifndef PTY_TAP_H
#define PTY_TAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "rpc/call.h"

struct proc;
struct start;

#define TAP_STALL_MS 5000

/* How often a full tap is checked within TAP_STALL_MS. */
#define TAP_STALL_CHECKS 10

struct tap {
	struct rpc_call *call;
	struct proc *proc;     /* NULL before it is attached */
	struct start *start;   /* the Start whose process is being spawned; or NULL */
	bool ends_at_deadline; /* the deadline of the process is that of the call */
	bool explain;	       /* the end event has the members of X-Envd-Explain-End */
	bool full;	       /* until `writable` */
	size_t pending_bytes;  /* of the call, at the last check */
	uint64_t took_ms;      /* when the client was last seen to take bytes */
	TAILQ_ENTRY(tap) link;
};

TAILQ_HEAD(tap_list, tap);

/* A tap for this call, set as the call's data. It is freed by tap_close or by the end it is sent. */
struct tap *tap_new(struct rpc_call *call);

/* Whether the client asked for X-Envd-Explain-End. */
bool tap_explains(const struct rpc_call *call);

/* Attaches the tap to a process: the reader gets `start` and the events from now on. */
void tap_attach(struct tap *tap, struct proc *p);

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
