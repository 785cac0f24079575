/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/tap.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "pty/message.h"
#include "pty/proc.h"
#include "pty/proc_table.h"
#include "pty/start_key.h"

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

static bool holds_up(enum tap_state state)
{
	return state == TAP_FULL || state == TAP_REPLAYING;
}

static void tap_set_state(struct tap *tap, enum tap_state state)
{
	static const char *const names[] = {
		[TAP_STARTING] = "starting",
		[TAP_LIVE] = "live",
		[TAP_FULL] = "full",
		[TAP_REPLAYING] = "replaying",
		[TAP_REPLAYING_END] = "replaying the end",
	};

	log_debug("reader of process %d: %s -> %s", tap->proc ? (int)tap->proc->pid : 0,
		  names[tap->state], names[state]);
	if (tap->proc && !holds_up(tap->state) && holds_up(state)) {
		tap->proc->full_taps++;
		tap_note_taken(tap);
	} else if (tap->proc && holds_up(tap->state) && !holds_up(state)) {
		tap->proc->full_taps--;
	}
	tap->state = state;
}

/* Records the result of a send to a live tap. */
static void tap_flow(struct tap *tap, enum rpc_flow flow)
{
	if (flow == RPC_FULL && tap->state == TAP_LIVE)
		tap_set_state(tap, TAP_FULL);
}

static void leave_proc(struct tap *tap)
{
	struct proc *p = tap->proc;

	TAILQ_REMOVE(&p->taps, tap, link);
	p->n_taps--;
	if (holds_up(tap->state))
		p->full_taps--;
	tap->proc = NULL;
}

/* Removes the tap from its process and frees it. */
static void tap_free(struct tap *tap)
{
	if (tap->proc)
		leave_proc(tap);
	if (tap->key)
		TAILQ_REMOVE(&tap->key->waiting, tap, link);
	kept_unref(tap->kept);
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

void tap_want_kept(struct tap *tap, struct kept *kept, const uint64_t from[OUTPUT_KINDS])
{
	kept_begin(kept, from, &tap->cursor);
	tap->kept = kept_ref(kept);
}

/* All kept output has been sent. */
static void tap_caught_up(struct tap *tap)
{
	struct message message;

	if (tap->state == TAP_REPLAYING) {
		tap_set_state(tap, TAP_LIVE);
		return;
	}
	rpc_send(tap->call, message_end(&message, &tap->exit_status, tap->explain));
	rpc_finish(tap->call);
	tap_free(tap);
}

/* Sends kept output until the call is full or the cursor has caught up. May free the tap. */
static void tap_replay(struct tap *tap)
{
	struct message message;
	enum output_kind kind;
	const uint8_t *data;
	struct error err;
	size_t n;
	int r;

	while ((r = kept_next(tap->kept, &tap->cursor, PROC_PTY_CHUNK_BYTES, &kind, &data, &n)) > 0)
		if (rpc_send(tap->call, message_data(&message, kind, data, n)) == RPC_FULL)
			return;
	if (r == 0) {
		tap_caught_up(tap);
		return;
	}
	error_set(&err, ERROR_RESOURCE_EXHAUSTED, "kept output was dropped for lack of memory");
	rpc_fail(tap->call, &err);
	tap_close(tap);
}

void tap_attach(struct tap *tap, struct proc *p)
{
	struct message message;
	enum rpc_flow flow;

	tap->proc = p;
	TAILQ_INSERT_TAIL(&p->taps, tap, link);
	p->n_taps++;
	flow = rpc_send(tap->call, message_start(&message, p->pid));
	if (!tap->kept) {
		tap_set_state(tap, flow == RPC_FULL ? TAP_FULL : TAP_LIVE);
	} else {
		tap_set_state(tap, TAP_REPLAYING);
		if (flow == RPC_OK)
			tap_replay(tap);
	}
	proc_update(p);
}

void tap_replay_exit(struct tap *tap, pid_t pid, const struct exit_status *exit_status)
{
	struct message message;

	tap->exit_status = *exit_status;
	tap_set_state(tap, TAP_REPLAYING_END);
	if (rpc_send(tap->call, message_start(&message, pid)) == RPC_FULL)
		return;
	if (tap->kept)
		tap_replay(tap);
	else
		tap_caught_up(tap);
}

void tap_writable(struct tap *tap)
{
	struct proc *p = tap->proc;

	if (tap->state == TAP_FULL)
		tap_set_state(tap, TAP_LIVE);
	else if (tap->state == TAP_REPLAYING || (tap->state == TAP_REPLAYING_END && tap->kept))
		tap_replay(tap);
	else if (tap->state == TAP_REPLAYING_END)
		tap_caught_up(tap);
	else
		return;
	/* There is probably something to read, so read without waiting for the loop. */
	if (p)
		proc_pump(p);
}

void tap_keepalive(struct tap *tap)
{
	struct message message;

	/* `start` is the first event, also if the exec takes longer than the interval. */
	if (tap->state == TAP_STARTING)
		return;
	tap_flow(tap, rpc_send(tap->call, message_keepalive(&message)));
	if (tap->proc)
		proc_update(tap->proc);
}

/* Sends to several taps: the message is encoded once for each encoding among them. */
static void send_shared(struct proc *p, const ProtobufCMessage *message)
{
	struct rpc_frame *frames[RPC_ENCODINGS] = {NULL};
	struct tap *tap;
	unsigned encoding;

	TAILQ_FOREACH (tap, &p->taps, link) {
		if (tap->state == TAP_REPLAYING)
			continue;
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

	/* A tap that replays finds the bytes in the kept output. */
	if (p->n_taps == 1 && tap->state != TAP_REPLAYING)
		tap_flow(tap, rpc_send(tap->call, message));
	else if (p->n_taps > 1)
		send_shared(p, message);
}

/*
 * Detaches taps that have not caught up from the process; they continue at the pace of their
 * readers.
 */
static void detach_replaying(struct proc *p)
{
	struct tap *tap, *next;

	for (tap = TAILQ_FIRST(&p->taps); tap; tap = next) {
		next = TAILQ_NEXT(tap, link);
		if (tap->state != TAP_REPLAYING)
			continue;
		leave_proc(tap);
		tap->exit_status = p->exit_status;
		tap_set_state(tap, TAP_REPLAYING_END);
	}
}

void taps_end(struct proc *p)
{
	struct message message;
	struct tap *tap, *next;

	detach_replaying(p);
	/* Taps that asked for an explanation get an end event of their own. */
	for (tap = TAILQ_FIRST(&p->taps); tap; tap = next) {
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
		if (holds_up(tap->state))
			tap_note_taken(tap);
	timer_set_ms(&p->stall, p->table->stall_ms / TAP_STALL_CHECKS);
}

/* Returns true if a full tap has taken no bytes for the stall time. */
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
		if (!holds_up(tap->state) || !tap_is_stalled(tap))
			continue;
		log_info("process %d: a reader took no bytes for %u ms and is cut off", (int)p->pid,
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
