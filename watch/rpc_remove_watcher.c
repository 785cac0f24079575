/* SPDX-License-Identifier: Apache-2.0 */
/* filesystem.Filesystem/RemoveWatcher: ends a watcher of CreateWatcher. */
#include "filesystem.pb-c.h"
#include "watch/service_impl.h"

static void remove_watcher_open(struct rpc_call *call, const ProtobufCMessage *message);

const struct rpc_method watch_rpc_remove_watcher = {
	.service = "filesystem.Filesystem",
	.name = "RemoveWatcher",
	.kind = RPC_UNARY,
	.input = &filesystem__remove_watcher_request__descriptor,
	.output = &filesystem__remove_watcher_response__descriptor,
	.message_max_bytes = WATCH_MESSAGE_MAX_BYTES,
	.open = remove_watcher_open,
};

static void remove_watcher_open(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Filesystem__RemoveWatcherRequest *request = (const void *)message;
	Filesystem__RemoveWatcherResponse response = FILESYSTEM__REMOVE_WATCHER_RESPONSE__INIT;
	struct watcher *w;
	struct error err;

	w = watch_service_find(rpc_call_service(call), request->watcher_id, &err);
	if (!w) {
		rpc_fail(call, &err);
		return;
	}
	watcher_free(w);
	watch_say_legacy(call);
	rpc_reply(call, &response.base);
}
