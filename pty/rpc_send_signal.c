/* SendSignal: TERM to the leader, KILL to all that the process' kill scope reaches. */
#include <signal.h>

#include "pty/rpc.h"

static void reply(struct rpc_call *call)
{
	Process__SendSignalResponse response;

	process__send_signal_response__init(&response);
	rpc_reply(call, &response.base);
}

static void killed(void *arg)
{
	struct rpc_call *call = arg;

	reply(call);
	rpc_call_unref(call);
}

static void send_signal_open(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Process__SendSignalRequest *request = (const Process__SendSignalRequest *)message;
	struct error err;
	struct proc *p;
	int r;

	p = rpc_find_process(rpc_call_service(call), request->process, &err);
	if (!p) {
		rpc_fail(call, &err);
		return;
	}
	switch (request->signal) {
	case PROCESS__SIGNAL__SIGNAL_SIGTERM:
		r = proc_terminate(p);
		break;
	case PROCESS__SIGNAL__SIGNAL_SIGKILL:
		r = proc_kill(p, killed, rpc_call_ref(call));
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

const struct rpc_method rpc_send_signal_method = {
	.service = "process.Process",
	.name = "SendSignal",
	.kind = RPC_UNARY,
	.input = &process__send_signal_request__descriptor,
	.output = &process__send_signal_response__descriptor,
	.open = send_signal_open,
};
