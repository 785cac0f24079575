/* SPDX-License-Identifier: Apache-2.0 */
/* Update: sets the size of a terminal. */
#include "pty/pty.h"
#include "pty/rpc.h"

static void update_open(struct rpc_call *call, const ProtobufCMessage *message);

const struct rpc_method pty_rpc_update_method = {
	.service = "process.Process",
	.name = "Update",
	.kind = RPC_UNARY,
	.input = &process__update_request__descriptor,
	.output = &process__update_response__descriptor,
	.message_max_bytes = PTY_SMALL_REQUEST_BYTES,
	.open = update_open,
};

static int resize(const struct proc *p, const Process__PTY *pty, struct error *err)
{
	uint16_t cols = pty->size ? (uint16_t)pty->size->cols : 0;
	uint16_t rows = pty->size ? (uint16_t)pty->size->rows : 0;
	int r;

	if (!p->is_pty)
		return error_set(err, ERROR_INTERNAL,
				 "error resizing tty: tty not assigned to process");
	r = pty_resize(p->outputs[0].fd, cols, rows);
	if (r < 0)
		return error_set_errno(err, ERROR_INTERNAL, r, "error resizing tty");
	return 0;
}

static void update_open(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Process__UpdateRequest *request = (const Process__UpdateRequest *)message;
	Process__UpdateResponse response;
	struct error err;
	struct proc *p;

	p = pty_find_process(rpc_call_service(call), request->process, &err);
	if (!p || (request->pty && resize(p, request->pty, &err) < 0)) {
		rpc_fail(call, &err);
		return;
	}
	process__update_response__init(&response);
	rpc_reply(call, &response.base);
}
