/* SPDX-License-Identifier: Apache-2.0 */
/* filesystem.Filesystem/CreateWatcher: creates a polled watcher. */
#include "filesystem.pb-c.h"
#include "watch/service_impl.h"

static void create_watcher_open(struct rpc_call *call, const ProtobufCMessage *message);

const struct rpc_method watch_rpc_create_watcher = {
	.service = "filesystem.Filesystem",
	.name = "CreateWatcher",
	.kind = RPC_UNARY,
	.input = &filesystem__create_watcher_request__descriptor,
	.output = &filesystem__create_watcher_response__descriptor,
	.message_max_bytes = WATCH_MESSAGE_MAX_BYTES,
	.nul_code = ERROR_INTERNAL,
	.open = create_watcher_open,
	.cancel = watch_cancel,
};

static void create_watcher_open(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Filesystem__CreateWatcherRequest *request = (const void *)message;
	const struct watch_request what = {
		.path = request->path,
		.recursive = request->recursive,
		.include_entry = request->include_entry,
		.allow_network_mounts = request->allow_network_mounts,
	};

	watch_open(call, &what, true);
}
