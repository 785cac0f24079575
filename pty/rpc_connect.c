/* SPDX-License-Identifier: Apache-2.0 */
/* Connect: the events of a live process from now on, or the end of one whose exit is retained. */
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
	struct message event;
	struct error err;
	struct proc *p;

	p = pty_find_process(svc, request->process, &err);
	if (p) {
		tap_attach(tap_new(call), p);
		return;
	}
	exit = find_exit(svc, request->process);
	if (!exit) {
		rpc_fail(call, &err);
		return;
	}
	rpc_send(call, message_start(&event, exit->pid));
	rpc_send(call, message_end(&event, &exit->exit_status, tap_explains(call)));
	rpc_finish(call);
}

static void connect_cancel(struct rpc_call *call, enum rpc_cancel why)
{
	struct tap *tap = rpc_call_data(call);

	if (tap)
		tap_close(tap);
}
