/* SPDX-License-Identifier: Apache-2.0 */
/* CloseStdin: closes the input of a process, after all input that was sent before. */
#include "base/mem.h"
#include "pty/rpc.h"

static void close_stdin_open(struct rpc_call *call, const ProtobufCMessage *message);
static void close_stdin_finished(struct input_job *job, int result);
static void reply(struct rpc_call *call);

const struct rpc_method pty_rpc_close_stdin_method = {
	.service = "process.Process",
	.name = "CloseStdin",
	.kind = RPC_UNARY,
	.input = &process__close_stdin_request__descriptor,
	.output = &process__close_stdin_response__descriptor,
	.message_max_bytes = PTY_SMALL_REQUEST_BYTES,
	.open = close_stdin_open,
};

struct close_stdin {
	struct input_job job;
	struct rpc_call *call;
};

static void close_stdin_open(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Process__CloseStdinRequest *request = (const Process__CloseStdinRequest *)message;
	struct close_stdin *closing = arena_zalloc(rpc_call_arena(call), sizeof(*closing));
	struct error err;
	struct proc *p;

	p = pty_find_process(rpc_call_service(call), request->process, &err);
	if (!p) {
		rpc_fail(call, &err);
		return;
	}
	if (p->is_pty) {
		error_set(&err, ERROR_UNKNOWN,
			  "error closing stdin: cannot close stdin for PTY process, send Ctrl+D "
			  "(0x04) instead");
		rpc_fail(call, &err);
		return;
	}
	closing->job.close = true;
	closing->job.finished = close_stdin_finished;
	closing->call = call;
	if (input_submit(&p->input, &closing->job) == INPUT_WAITS)
		rpc_call_ref(call);
	else
		reply(call);
}

static void close_stdin_finished(struct input_job *job, int result)
{
	struct close_stdin *closing = container_of(job, struct close_stdin, job);
	struct rpc_call *call = closing->call;

	reply(call);
	rpc_call_unref(call);
}

static void reply(struct rpc_call *call)
{
	Process__CloseStdinResponse response;

	process__close_stdin_response__init(&response);
	rpc_reply(call, &response.base);
}
