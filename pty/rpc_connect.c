/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connect: the events of a live process from now on, or the end of one whose exit is retained. With
 * X-Envd-From kept output comes first.
 */
#include "pty/keep.h"
#include "pty/rpc.h"

static void connect_open(struct rpc_call *call, const ProtobufCMessage *message);
static void connect_cancel(struct rpc_call *call, enum rpc_cancel why);

const struct rpc_method pty_rpc_connect_method = {
	.service = "process.Process",
	.name = "Connect",
	.kind = RPC_SERVER_STREAM,
	.input = &process__connect_request__descriptor,
	.output = &process__connect_response__descriptor,
	.message_max_bytes = PTY_SMALL_REQUEST_BYTES,
	.open = connect_open,
	.writable = pty_rpc_tap_writable,
	.keepalive = pty_rpc_tap_keepalive,
	.cancel = connect_cancel,
};

/* The retained exit that a selector names, or NULL. */
static const struct retained_exit *find_exit(struct pty_service *svc,
					     const Process__ProcessSelector *selector)
{
	if (!selector)
		return NULL;
	if (selector->selector_case == PROCESS__PROCESS_SELECTOR__SELECTOR_PID)
		return proc_table_exit(&svc->table, (pid_t)selector->pid);
	if (selector->selector_case == PROCESS__PROCESS_SELECTOR__SELECTOR_TAG)
		return proc_table_exit_tag(&svc->table, selector->tag);
	return NULL;
}

static void connect_open(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Process__ConnectRequest *request = (const Process__ConnectRequest *)message;
	struct pty_service *svc = rpc_call_service(call);
	const struct retained_exit *exit;
	struct error err;
	struct proc *p;

	p = pty_find_process(svc, request->process, &err);
	if (p) {
		pty_join_process(tap_new(call), p, false);
		return;
	}
	exit = find_exit(svc, request->process);
	if (!exit) {
		rpc_fail(call, &err);
		return;
	}
	pty_join_exit(tap_new(call), exit, false);
}

static void connect_cancel(struct rpc_call *call, enum rpc_cancel why)
{
	struct tap *tap = rpc_call_data(call);

	if (tap)
		tap_close(tap);
}

static void fail_join(struct tap *tap, const struct error *err)
{
	rpc_fail(tap->call, err);
	tap_close(tap);
}

/* Sets the output that the tap receives first. 0, or -1 if the call has failed. */
static int prepare_join(struct tap *tap, bool is_pty, struct kept *kept,
			const uint64_t total[OUTPUT_KINDS], bool from_start)
{
	struct keep_from from;
	struct error err;

	if (keep_parse_from(tap->call, is_pty, total, &from, &err) < 0) {
		fail_join(tap, &err);
		return -1;
	}
	if (from.asked)
		keep_tell_offsets(tap->call, is_pty, kept, total, &from);
	if (kept && (from.asked || from_start))
		tap_want_kept(tap, kept, from.from);
	return 0;
}

void pty_join_process(struct tap *tap, struct proc *p, bool from_start)
{
	uint64_t total[OUTPUT_KINDS] = {0};
	unsigned i;

	for (i = 0; i < p->n_outputs; i++)
		total[p->outputs[i].kind] = p->outputs[i].total_bytes;
	if (prepare_join(tap, p->is_pty, p->kept, total, from_start) == 0)
		tap_attach(tap, p);
}

void pty_join_exit(struct tap *tap, const struct retained_exit *exit, bool from_start)
{
	if (prepare_join(tap, exit->is_pty, exit->kept, exit->total_bytes, from_start) == 0)
		tap_replay_exit(tap, exit->pid, &exit->exit_status);
}
