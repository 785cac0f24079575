/* SPDX-License-Identifier: Apache-2.0 */
/* List: the live processes, each with the configuration it was started with. */
#include "base/log.h"
#include "pty/rpc.h"

static void list_open(struct rpc_call *call, const ProtobufCMessage *message);
static Process__ProcessInfo *describe(const struct proc *p, struct arena *arena);

const struct rpc_method pty_rpc_list_method = {
	.service = "process.Process",
	.name = "List",
	.kind = RPC_UNARY,
	.input = &process__list_request__descriptor,
	.output = &process__list_response__descriptor,
	.message_max_bytes = PTY_SMALL_REQUEST_BYTES,
	.open = list_open,
};

static void list_open(struct rpc_call *call, const ProtobufCMessage *message)
{
	struct pty_service *svc = rpc_call_service(call);
	struct arena *arena = rpc_call_arena(call);
	Process__ListResponse response;
	const struct proc *p;

	process__list_response__init(&response);
	response.processes = arena_alloc(arena, svc->table.n_live * sizeof(*response.processes));
	TAILQ_FOREACH (p, &svc->table.live, link)
		response.processes[response.n_processes++] = describe(p, arena);
	rpc_reply(call, &response.base);
}

static void *arena_allocate(void *arena, size_t n)
{
	return arena_alloc(arena, n);
}

static void arena_release(void *arena, void *p)
{
}

static Process__ProcessInfo *describe(const struct proc *p, struct arena *arena)
{
	ProtobufCAllocator allocator = {
		.alloc = arena_allocate,
		.free = arena_release,
		.allocator_data = arena,
	};
	Process__ProcessInfo *info = arena_alloc(arena, sizeof(*info));

	process__process_info__init(info);
	info->pid = (uint32_t)p->pid;
	info->config = (Process__ProcessConfig *)protobuf_c_message_unpack(
		&process__process_config__descriptor, &allocator, p->config_bytes, p->config);
	/*
	 * The daemon encoded it, but before a live upgrade that was another daemon. A list without
	 * a process would be wrong; with an empty config it is complete.
	 */
	if (!info->config) {
		log_error("process %d: its config cannot be decoded", (int)p->pid);
		info->config = arena_alloc(arena, sizeof(*info->config));
		process__process_config__init(info->config);
	}
	if (p->tag) {
		info->opt_tag_case = PROCESS__PROCESS_INFO__OPT_TAG_TAG;
		info->tag = p->tag;
	}
	return info;
}
