/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of the unary methods: a user and paths on the loop, the work on a worker. */
#include <stdlib.h>
#include <string.h>

#include "base/audit.h"
#include "base/mem.h"
#include "base/path.h"
#include "fs/service_impl.h"

void *fs_rpc_new(struct rpc_call *call, size_t bytes)
{
	struct fs_service *svc = rpc_call_service(call);
	struct fs_rpc *rpc = mem_zalloc(bytes);
	const char *name = rpc_call_user(call);

	rpc->call = rpc_call_ref(call);
	rpc->context = svc->context;
	fs_owners_init(&rpc->owners, svc->context->users);
	if (user_find(svc->context->users, name ? name : svc->context->default_user, &rpc->arena,
		      &rpc->user, &rpc->err) < 0) {
		rpc_fail(call, &rpc->err);
		fs_rpc_free(rpc);
		return NULL;
	}
	return rpc;
}

int fs_rpc_path(struct fs_rpc *rpc, const char *path, char **ret)
{
	if (path_resolve(path, &rpc->user, rpc->context->default_workdir, &rpc->arena, ret,
			 &rpc->err) == 0)
		return 0;
	rpc_fail(rpc->call, &rpc->err);
	fs_rpc_free(rpc);
	return -1;
}

static void work_run(struct work *work)
{
	struct fs_rpc *rpc = container_of(work, struct fs_rpc, work);

	rpc->run(rpc);
}

static void work_done(struct work *work)
{
	struct fs_rpc *rpc = container_of(work, struct fs_rpc, work);

	rpc->done(rpc);
}

void fs_rpc_submit(struct fs_rpc *rpc, void (*run)(struct fs_rpc *), void (*done)(struct fs_rpc *))
{
	rpc->run = run;
	rpc->done = done;
	rpc->work.run = work_run;
	rpc->work.done = work_done;
	work_submit(rpc->context->file_workers, &rpc->work);
}

void fs_rpc_audit(const struct fs_rpc *rpc, const char *event, const char *const paths[2])
{
	audit_event(&(struct audit_event){
		.name = event,
		.request = rpc_call_log_request(rpc->call),
		.asked_by = rpc_call_user(rpc->call),
		LOG_FIELDS(LOG_TEXT("path", paths[0]), LOG_TEXT("destination", paths[1]),
			   LOG_TEXT("user", rpc->user.name),
			   LOG_TEXT("error", rpc->err.code ? rpc->err.message : NULL))});
}

bool fs_rpc_is_legacy(struct rpc_call *call)
{
	const char *agent = rpc_call_header(call, "user-agent");

	return agent && strcmp(agent, FS_LEGACY_USER_AGENT) == 0;
}

void fs_rpc_say_legacy(struct rpc_call *call)
{
	rpc_header(call, FS_LEGACY_HEADER, "true");
}

void fs_rpc_end(struct fs_rpc *rpc, const ProtobufCMessage *message, Filesystem__EntryInfo *entry)
{
	if (rpc->err.code) {
		rpc_fail(rpc->call, &rpc->err);
	} else {
		if (fs_rpc_is_legacy(rpc->call)) {
			fs_rpc_say_legacy(rpc->call);
			if (entry)
				fs_entry_make_legacy(entry);
		}
		rpc_reply(rpc->call, message);
	}
	fs_rpc_free(rpc);
}

void fs_rpc_free(struct fs_rpc *rpc)
{
	rpc_call_unref(rpc->call);
	fs_owners_clear(&rpc->owners);
	arena_clear(&rpc->arena);
	free(rpc);
}
