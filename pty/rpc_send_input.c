/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SendInput: writes one piece of input. The response is sent when the pipe or terminal has taken
 * all bytes.
 *
 * The bytes lie in the call's arena. A reference keeps the call until they are written, even if the
 * client disconnects: the input was requested before.
 */
#include <errno.h>

#include "base/mem.h"
#include "pty/rpc.h"

static void send_input_open(struct rpc_call *call, const ProtobufCMessage *message);
static void send_input_finished(struct input_job *job, int result);
static void answer(struct rpc_call *call, const struct proc *p, int result);

const struct rpc_method pty_rpc_send_input_method = {
	.service = "process.Process",
	.name = "SendInput",
	.kind = RPC_UNARY,
	.input = &process__send_input_request__descriptor,
	.output = &process__send_input_response__descriptor,
	.open = send_input_open,
};

struct send_input {
	struct input_job job;
	struct rpc_call *call; /* a reference while the job waits */
	struct proc *proc;     /* likewise */
};

static void send_input_open(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Process__SendInputRequest *request = (const Process__SendInputRequest *)message;
	struct send_input *send = arena_zalloc(rpc_call_arena(call), sizeof(*send));
	ProtobufCBinaryData bytes = {0};
	struct error err;
	struct proc *p;
	int r;

	p = pty_find_process(rpc_call_service(call), request->process, &err);
	if (!p || pty_input_bytes(p, request->input, &bytes, &err) < 0) {
		rpc_fail(call, &err);
		return;
	}
	send->job.data = bytes.data;
	send->job.n = bytes.len;
	send->job.finished = send_input_finished;
	send->call = call;
	send->proc = p;
	r = input_submit(&p->input, &send->job);
	if (r != INPUT_WAITS) {
		answer(call, p, r);
		return;
	}
	proc_ref(p);
	rpc_call_ref(call);
}

static void send_input_finished(struct input_job *job, int result)
{
	struct send_input *send = container_of(job, struct send_input, job);
	struct rpc_call *call = send->call;

	answer(call, send->proc, result);
	proc_unref(send->proc);
	rpc_call_unref(call);
}

static void answer(struct rpc_call *call, const struct proc *p, int result)
{
	Process__SendInputResponse response;
	struct error err;

	if (result < 0) {
		pty_input_error(p, result, &err);
		rpc_fail(call, &err);
		return;
	}
	process__send_input_response__init(&response);
	rpc_reply(call, &response.base);
}

int pty_input_bytes(const struct proc *p, const Process__ProcessInput *input,
		    ProtobufCBinaryData *ret, struct error *err)
{
	switch (input ? input->input_case : PROCESS__PROCESS_INPUT__INPUT__NOT_SET) {
	case PROCESS__PROCESS_INPUT__INPUT_STDIN:
		*ret = input->stdin;
		if (p->is_pty)
			return error_set(err, ERROR_INTERNAL,
					 "error writing to stdin: tty assigned to process, input "
					 "should be written to the pty");
		return 0;
	case PROCESS__PROCESS_INPUT__INPUT_PTY:
		*ret = input->pty;
		if (!p->is_pty)
			return error_set(err, ERROR_INTERNAL,
					 "error writing to tty: tty not assigned to process, input "
					 "should be written to the stdin");
		return 0;
	default:
		return error_set(err, ERROR_UNIMPLEMENTED, "the request has no input");
	}
}

int pty_input_error(const struct proc *p, int result, struct error *err)
{
	const char *where = p->is_pty ? "tty" : "stdin";

	if (result == -ENOBUFS)
		return error_set(err, ERROR_RESOURCE_EXHAUSTED,
				 "error writing to %s: too many bytes wait for the process", where);
	if (result == -EPIPE)
		return error_set(err, ERROR_INTERNAL, "error writing to %s: not enabled or closed",
				 where);
	return error_set_errno(err, ERROR_INTERNAL, result, "error writing to %s", where);
}
