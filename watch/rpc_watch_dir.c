/* SPDX-License-Identifier: Apache-2.0 */
/* filesystem.Filesystem/WatchDir: streams the events of a directory. */
#include "filesystem.pb-c.h"
#include "watch/service_impl.h"

static void watch_dir_open(struct rpc_call *call, const ProtobufCMessage *message);
static void watch_dir_writable(struct rpc_call *call);
static void watch_dir_keepalive(struct rpc_call *call);

const struct rpc_method watch_rpc_watch_dir = {
	.service = "filesystem.Filesystem",
	.name = "WatchDir",
	.kind = RPC_SERVER_STREAM,
	.input = &filesystem__watch_dir_request__descriptor,
	.output = &filesystem__watch_dir_response__descriptor,
	.message_max_bytes = WATCH_MESSAGE_MAX_BYTES,
	.nul_code = ERROR_INTERNAL,
	.open = watch_dir_open,
	.writable = watch_dir_writable,
	.keepalive = watch_dir_keepalive,
	.cancel = watch_cancel,
};

static void watch_dir_open(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Filesystem__WatchDirRequest *request = (const void *)message;
	const struct watch_request what = {
		.path = request->path,
		.recursive = request->recursive,
		.include_entry = request->include_entry,
		.allow_network_mounts = request->allow_network_mounts,
	};

	watch_open(call, &what, false);
}

static void watch_dir_writable(struct rpc_call *call)
{
	struct watcher *w = rpc_call_data(call);

	if (w)
		watcher_writable(w);
}

static void watch_dir_keepalive(struct rpc_call *call)
{
	struct watcher *w = rpc_call_data(call);

	if (w)
		watcher_keepalive(w);
}
