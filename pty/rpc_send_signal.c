/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SendSignal: sends TERM to the leader, and KILL to all processes of the process's kill scope.
 *
 * A KILL is answered when the leader has exited, or after PROC_KILL_ANSWER_MS, so that a client
 * that looks for the pid after the response does not find it.
 *
 * `descendants`: KILL reaches at least the session of the process, TERM its process group.
 */
#include <signal.h>

#include "base/audit.h"
#include "pty/rpc.h"

static void send_signal_open(struct rpc_call *call, const ProtobufCMessage *message);
static void send_signal_killed(void *arg);
static void reply(struct rpc_call *call);

const struct rpc_method pty_rpc_send_signal_method = {
	.service = "process.Process",
	.name = "SendSignal",
	.kind = RPC_UNARY,
	.input = &process__send_signal_request__descriptor,
	.output = &process__send_signal_response__descriptor,
	.message_max_bytes = PTY_SMALL_REQUEST_BYTES,
	.open = send_signal_open,
};

/* Returns the wider one of the process's scope and the request's. */
static enum kill_scope scope_of(const struct proc *p, const Process__SendSignalRequest *request)
{
	if (request->descendants && p->scope == KILL_SCOPE_LEADER)
		return KILL_SCOPE_SESSION;
	return p->scope;
}

static void audit_signal(const struct rpc_call *call, const Process__SendSignalRequest *request,
			 const struct proc *p)
{
	audit_event(&(struct audit_event){
		.name = "signal",
		.request = rpc_call_log_request(call),
		.asked_by = rpc_call_user(call),
		LOG_FIELDS(LOG_NUMBER("pid", p->pid), LOG_NUMBER("signal", request->signal),
			   LOG_BOOL("descendants", request->descendants))});
}

static void send_signal_open(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Process__SendSignalRequest *request = (const Process__SendSignalRequest *)message;
	struct error err;
	struct proc *p;
	int r;

	p = pty_find_process(rpc_call_service(call), request->process, &err);
	if (!p) {
		rpc_fail(call, &err);
		return;
	}
	audit_signal(call, request, p);
	switch (request->signal) {
	case PROCESS__SIGNAL__SIGNAL_SIGTERM:
		r = proc_terminate(p, request->descendants);
		break;
	case PROCESS__SIGNAL__SIGNAL_SIGKILL:
		r = proc_kill(p, scope_of(p, request), send_signal_killed, rpc_call_ref(call));
		if (r == PROC_KILL_WAITS)
			return;
		rpc_call_unref(call);
		break;
	default:
		error_set(&err, ERROR_UNIMPLEMENTED, "invalid signal: %d", (int)request->signal);
		rpc_fail(call, &err);
		return;
	}
	if (r < 0) {
		error_set_errno(&err, ERROR_INTERNAL, r, "error sending signal");
		rpc_fail(call, &err);
		return;
	}
	reply(call);
}

static void send_signal_killed(void *arg)
{
	struct rpc_call *call = arg;

	reply(call);
	rpc_call_unref(call);
}

static void reply(struct rpc_call *call)
{
	Process__SendSignalResponse response;

	process__send_signal_response__init(&response);
	rpc_reply(call, &response.base);
}
