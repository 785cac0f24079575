/*
 * Taps: the readers of a process' output. One is a Start or Connect call.
 *
 * A chunk is encoded once for each encoding among the taps. A tap whose stream is full stops the
 * reading, and so holds up the process, as long as it is the only one; among several, one that took
 * nothing for TAP_STALL_MS is cut off, so that the others go on (behaviour.md).
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

/* How often a full tap is looked at, in its time. */
#define TAP_STALL_CHECKS 10

struct tap {
	struct rpc_call *call;
	struct proc *proc;    /* NULL before it is attached */
	struct start *start;  /* which is to bring the process about; the Start's own */
	bool owner;	      /* of the Start that began the process */
	bool explain;	      /* the end is told in full: exit_status.h */
	bool full;	      /* until `writable` */
	size_t pending_bytes; /* of the call, when it was last seen to take something */
	uint64_t took_ms;     /* that moment */
	TAILQ_ENTRY(tap) link;
};

TAILQ_HEAD(tap_list, tap);

/* A reader for this call, which it becomes the data of. Freed by tap_close, at whichever end. */
struct tap *tap_new(struct rpc_call *call, bool owner);

/* Whether the client wants the end told in full. */
bool tap_explains(const struct rpc_call *call);

/* Attaches it to a process: the reader gets `start`, and what comes from now on. */
void tap_attach(struct tap *tap, struct proc *p);

/* Lets go of the process, if it has one, and frees the tap; the call goes on without it. */
void tap_close(struct tap *tap);

/* The call takes more: `writable` and `keepalive` of Start and Connect. */
void tap_writable(struct tap *tap);
void tap_keepalive(struct tap *tap);

/* Sends a message to every tap of the process. */
void taps_send(struct proc *p, const ProtobufCMessage *message);

/* Sends the end and finishes every stream. */
void taps_end(struct proc *p);

/*
 * The deadline of the process has passed: that is also the end of its Start's stream, without an
 * `end` (details 59, 60).
 */
void taps_pass_deadline(struct proc *p);

/* Starts or stops the watch over taps that are full while others wait. */
void taps_update(struct proc *p);

/* What the stall timer of a struct proc calls: cuts off those that took nothing. */
void taps_check_stall(void *arg);

#endif
