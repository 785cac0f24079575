/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filesystem.Filesystem/Remove: removes a file, or a directory with all its contents.
 *
 * The worker removes in steps of FS_REMOVE_STEP_MS, so a large tree takes turns with other work.
 * The removal continues after the client has disconnected, so that no partial tree remains.
 */
#include "fs/remove.h"
#include "fs/service_impl.h"

#define FS_REMOVE_STEP_MS 50

struct remove_call {
	struct fs_rpc rpc;
	char *path;
	bool begun;
	struct fs_remove remove;
};

static void remove_open(struct rpc_call *call, const ProtobufCMessage *message);
static void remove_run(struct fs_rpc *rpc);
static void remove_done(struct fs_rpc *rpc);

const struct rpc_method fs_rpc_remove = {
	.service = "filesystem.Filesystem",
	.name = "Remove",
	.kind = RPC_UNARY,
	.input = &filesystem__remove_request__descriptor,
	.output = &filesystem__remove_response__descriptor,
	.nul_code = ERROR_INTERNAL,
	.message_max_bytes = RPC_SMALL_MESSAGE_BYTES,
	.open = remove_open,
};

static void remove_open(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Filesystem__RemoveRequest *request = (const void *)message;
	struct remove_call *c = fs_rpc_new(call, sizeof(*c));

	if (c && fs_rpc_path(&c->rpc, request->path, &c->path) == 0)
		fs_rpc_submit(&c->rpc, remove_run, remove_done);
}

static void remove_run(struct fs_rpc *rpc)
{
	struct remove_call *c = (struct remove_call *)rpc;

	if (!c->begun)
		fs_remove_begin(&c->remove, c->path);
	c->begun = true;
	fs_remove_step(&c->remove, FS_REMOVE_STEP_MS);
}

static void remove_done(struct fs_rpc *rpc)
{
	struct remove_call *c = (struct remove_call *)rpc;
	Filesystem__RemoveResponse response = FILESYSTEM__REMOVE_RESPONSE__INIT;

	if (!c->remove.finished) {
		fs_rpc_submit(rpc, remove_run, remove_done);
		return;
	}
	if (c->remove.error)
		error_set_errno(&rpc->err, ERROR_INTERNAL, c->remove.error,
				"error removing file or directory: %s",
				fs_text(c->path, &rpc->arena));
	fs_remove_clear(&c->remove);
	fs_rpc_audit(rpc, "file_removed", (const char *[2]){c->path});
	fs_rpc_end(rpc, &response.base, NULL);
}
