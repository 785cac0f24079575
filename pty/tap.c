/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/tap.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "pty/message.h"
#include "pty/proc.h"
#include "pty/proc_table.h"

bool tap_explains(const struct rpc_call *call)
{
	const char *value = rpc_call_header(call, "x-envd-explain-end");

	return value && strcmp(value, "1") == 0;
}

struct tap *tap_new(struct rpc_call *call)
{
	struct tap *tap = mem_zalloc(sizeof(*tap));

	tap->call = call;
	tap->explain = tap_explains(call);
	rpc_call_set_data(call, tap);
	return tap;
}

static void tap_note_taken(struct tap *tap)
{
	tap->pending_bytes = rpc_call_pending_bytes(tap->call);
	tap->took_ms = clock_monotonic_ms();
}

/* Records what the call said to a message. With the first RPC_FULL the tap begins to wait. */
static void tap_flow(struct tap *tap, enum rpc_flow flow)
{
	if (flow != RPC_FULL || tap->full)
		return;
	tap->full = true;
	tap->proc->full_taps++;
	tap_note_taken(tap);
}

void tap_attach(struct tap *tap, struct proc *p)
{
	struct message message;

	tap->proc = p;
	TAILQ_INSERT_TAIL(&p->taps, tap, link);
	p->n_taps++;
	tap_flow(tap, rpc_send(tap->call, message_start(&message, p->pid)));
	proc_update(p);
}

/* Takes the tap from its process and frees it. */
static void tap_free(struct tap *tap)
{
	struct proc *p = tap->proc;

	if (p) {
		TAILQ_REMOVE(&p->taps, tap, link);
		p->n_taps--;
		if (tap->full)
			p->full_taps--;
	}
	rpc_call_set_data(tap->call, NULL);
	free(tap);
}

void tap_close(struct tap *tap)
{
	struct proc *p = tap->proc;

	tap_free(tap);
	if (p)
		proc_update(p);
}

void tap_writable(struct tap *tap)
{
	if (!tap->full)
		return;
	tap->full = false;
	tap->proc->full_taps--;
	/* Most likely there is something to read, so the loop is not asked first. */
	proc_pump(tap->proc);
}

void tap_keepalive(struct tap *tap)
{
	struct message message;

	/* `start` is the first event, also if the exec takes longer than the interval. */
	if (!tap->proc)
		return;
	tap_flow(tap, rpc_send(tap->call, message_keepalive(&message)));
	proc_update(tap->proc);
}

/* Sends to several taps: the message is encoded once for each encoding among them. */
static void send_shared(struct proc *p, const ProtobufCMessage *message)
{
	struct rpc_frame *frames[RPC_ENCODINGS] = {NULL};
	struct tap *tap;
	unsigned encoding;

	TAILQ_FOREACH (tap, &p->taps, link) {
		encoding = rpc_call_encoding(tap->call);
		if (!frames[encoding])
			frames[encoding] = rpc_frame_new(encoding, message);
		tap_flow(tap, rpc_send_frame(tap->call, frames[encoding]));
	}
	for (encoding = 0; encoding < RPC_ENCODINGS; encoding++)
		rpc_frame_unref(frames[encoding]);
}

void taps_send(struct proc *p, const ProtobufCMessage *message)
{
	struct tap *tap = TAILQ_FIRST(&p->taps);

	if (p->n_taps == 1)
		tap_flow(tap, rpc_send(tap->call, message));
	else if (p->n_taps > 1)
		send_shared(p, message);
}

void taps_end(struct proc *p)
{
	struct message message;
	struct tap *tap, *next;

	/* Taps that asked for an explanation get an end event of their own. */
	for (tap = p->exit_status.oom ? TAILQ_FIRST(&p->taps) : NULL; tap; tap = next) {
		next = TAILQ_NEXT(tap, link);
		if (!tap->explain)
			continue;
		rpc_send(tap->call, message_end(&message, &p->exit_status, true));
		rpc_finish(tap->call);
		tap_free(tap);
	}
	taps_send(p, message_end(&message, &p->exit_status, false));
	while ((tap = TAILQ_FIRST(&p->taps))) {
		rpc_finish(tap->call);
		tap_free(tap);
	}
}

void taps_pass_deadline(struct proc *p)
{
	struct error err;
	struct tap *tap;

	TAILQ_FOREACH (tap, &p->taps, link)
		if (tap->ends_at_deadline)
			break;
	if (!tap)
		return;
	error_set(&err, ERROR_DEADLINE_EXCEEDED, "context deadline exceeded");
	rpc_fail(tap->call, &err);
	tap_free(tap);
}

void taps_update(struct proc *p)
{
	bool watch = p->state != PROC_ENDED && p->full_taps > 0 && p->n_taps > 1;
	struct tap *tap;

	if (watch == timer_pending(&p->stall))
		return;
	if (!watch) {
		timer_cancel(&p->stall);
		return;
	}
	/* The time before there were other taps does not count. */
	TAILQ_FOREACH (tap, &p->taps, link)
		if (tap->full)
			tap_note_taken(tap);
	timer_set_ms(&p->stall, p->table->stall_ms / TAP_STALL_CHECKS);
}

/* Whether a full tap has taken nothing for too long. */
static bool tap_is_stalled(struct tap *tap)
{
	size_t pending = rpc_call_pending_bytes(tap->call);

	if (pending < tap->pending_bytes)
		tap_note_taken(tap);
	/* It may have grown: keepalives are added. */
	tap->pending_bytes = pending;
	return clock_monotonic_ms() - tap->took_ms >= tap->proc->table->stall_ms;
}

void taps_check_stall(void *arg)
{
	struct proc *p = arg;
	struct tap *tap, *next;
	struct error err;

	for (tap = TAILQ_FIRST(&p->taps); tap && p->n_taps > 1; tap = next) {
		next = TAILQ_NEXT(tap, link);
		if (!tap->full || !tap_is_stalled(tap))
			continue;
		log_info("process %d: a reader took nothing for %u ms and is cut off", (int)p->pid,
			 p->table->stall_ms);
		error_set(&err, ERROR_RESOURCE_EXHAUSTED,
			  "nothing was read for %u ms while others waited for the output",
			  p->table->stall_ms);
		rpc_fail(tap->call, &err);
		tap_free(tap);
	}
	if (p->full_taps > 0 && p->n_taps > 1)
		timer_set_ms(&p->stall, p->table->stall_ms / TAP_STALL_CHECKS);
	proc_update(p);
}
