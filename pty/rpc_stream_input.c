/* SPDX-License-Identifier: Apache-2.0 */
/*
 * StreamInput: input as a stream of messages.
 *
 *	open ─► message (`start` selects the process, `data` is written) … ─► end
 *
 * While the process does not read, the client's stream is held, so that at most one message is
 * buffered.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "pty/rpc.h"

static void stream_input_open(struct rpc_call *call, const ProtobufCMessage *none);
static void stream_input_message(struct rpc_call *call, const ProtobufCMessage *message);
static void stream_input_written(struct input_job *job, int result);
static void stream_input_end(struct rpc_call *call);
static void stream_input_cancel(struct rpc_call *call, enum rpc_cancel why);

const struct rpc_method pty_rpc_stream_input_method = {
	.service = "process.Process",
	.name = "StreamInput",
	.kind = RPC_CLIENT_STREAM,
	.input = &process__stream_input_request__descriptor,
	.output = &process__stream_input_response__descriptor,
	.malformed_code = ERROR_UNKNOWN,
	.open = stream_input_open,
	.message = stream_input_message,
	.end = stream_input_end,
	.cancel = stream_input_cancel,
};

struct stream_input {
	struct rpc_call *call; /* NULL: the client disconnected while a piece waited */
	struct proc *proc;     /* a reference; NULL before `start` */
	struct input_job job;
	bool writing; /* the job waits, and the call is held */
};

static void stream_input_free(struct stream_input *si)
{
	if (si->call)
		rpc_call_set_data(si->call, NULL);
	if (si->proc)
		proc_unref(si->proc);
	free(si);
}

static void fail(struct stream_input *si, const struct error *err)
{
	rpc_fail(si->call, err);
	stream_input_free(si);
}

static void stream_input_open(struct rpc_call *call, const ProtobufCMessage *none)
{
	struct stream_input *si = mem_zalloc(sizeof(*si));

	si->call = call;
	si->job.finished = stream_input_written;
	rpc_call_set_data(call, si);
}

/* Selects the process. A later `start` selects another one for the following data. */
static int select_process(struct stream_input *si,
			  const Process__StreamInputRequest__StartEvent *start, struct error *err)
{
	struct proc *p = pty_find_process(rpc_call_service(si->call), start->process, err);

	if (!p)
		return -1;
	proc_ref(p);
	if (si->proc)
		proc_unref(si->proc);
	si->proc = p;
	return 0;
}

static int write_piece(struct stream_input *si, const Process__StreamInputRequest__DataEvent *data,
		       struct error *err)
{
	ProtobufCBinaryData bytes = {0};
	int r;

	if (!si->proc)
		return error_set(err, ERROR_FAILED_PRECONDITION,
				 "input came before the start event");
	if (pty_input_bytes(si->proc, data->input, &bytes, err) < 0)
		return -1;
	si->job.data = bytes.data;
	si->job.n = bytes.len;
	r = input_submit(&si->proc->input, &si->job);
	if (r < 0)
		return pty_input_error(si->proc, r, err);
	if (r == INPUT_WAITS) {
		/* The message lives only for this callback. */
		input_job_own(&si->job);
		si->writing = true;
		rpc_hold(si->call);
	}
	return 0;
}

static void stream_input_message(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Process__StreamInputRequest *request = (const Process__StreamInputRequest *)message;
	struct stream_input *si = rpc_call_data(call);
	struct error err;
	int r = 0;

	switch (request->event_case) {
	case PROCESS__STREAM_INPUT_REQUEST__EVENT_START:
		r = select_process(si, request->start, &err);
		break;
	case PROCESS__STREAM_INPUT_REQUEST__EVENT_DATA:
		r = write_piece(si, request->data, &err);
		break;
	case PROCESS__STREAM_INPUT_REQUEST__EVENT_KEEPALIVE:
		break;
	default:
		r = error_set(&err, ERROR_UNIMPLEMENTED, "the message has no known event");
		break;
	}
	if (r < 0)
		fail(si, &err);
}

/* Called when the process has taken the piece: releases the hold for the next message. */
static void stream_input_written(struct input_job *job, int result)
{
	struct stream_input *si = container_of(job, struct stream_input, job);
	struct error err;

	input_job_disown(job);
	si->writing = false;
	if (!si->call) {
		stream_input_free(si);
	} else if (result < 0) {
		pty_input_error(si->proc, result, &err);
		fail(si, &err);
	} else {
		rpc_unhold(si->call);
	}
}

/* The call is held while a piece waits, so no piece waits here. */
static void stream_input_end(struct rpc_call *call)
{
	struct stream_input *si = rpc_call_data(call);
	Process__StreamInputResponse response;

	process__stream_input_response__init(&response);
	rpc_reply(call, &response.base);
	stream_input_free(si);
}

/* A waiting piece is still written, as in SendInput. */
static void stream_input_cancel(struct rpc_call *call, enum rpc_cancel why)
{
	struct stream_input *si = rpc_call_data(call);

	rpc_call_set_data(call, NULL);
	si->call = NULL;
	if (!si->writing)
		stream_input_free(si);
}
