/* SPDX-License-Identifier: Apache-2.0 */
/* filesystem.Filesystem/Stat: the EntryInfo of a path. */
#include "fs/service_impl.h"

struct stat_call {
	struct fs_rpc rpc;
	char *path;
	struct fs_entry entry;
};

static void stat_open(struct rpc_call *call, const ProtobufCMessage *message);
static void stat_run(struct fs_rpc *rpc);
static void stat_done(struct fs_rpc *rpc);

const struct rpc_method fs_rpc_stat = {
	.service = "filesystem.Filesystem",
	.name = "Stat",
	.kind = RPC_UNARY,
	.input = &filesystem__stat_request__descriptor,
	.output = &filesystem__stat_response__descriptor,
	.nul_code = ERROR_INTERNAL,
	.message_max_bytes = RPC_SMALL_MESSAGE_BYTES,
	.open = stat_open,
};

static void stat_open(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Filesystem__StatRequest *request = (const void *)message;
	struct stat_call *c = fs_rpc_new(call, sizeof(*c));

	if (c && fs_rpc_path(&c->rpc, request->path, &c->path) == 0)
		fs_rpc_submit(&c->rpc, stat_run, stat_done);
}

static void stat_run(struct fs_rpc *rpc)
{
	struct stat_call *c = (struct stat_call *)rpc;

	fs_entry_read(c->path, &rpc->owners, &rpc->arena, &c->entry, &rpc->err);
}

static void stat_done(struct fs_rpc *rpc)
{
	struct stat_call *c = (struct stat_call *)rpc;
	Filesystem__StatResponse response = FILESYSTEM__STAT_RESPONSE__INIT;

	response.entry = &c->entry.info;
	fs_rpc_end(rpc, &response.base, &c->entry.info);
}
