/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the service's source files: the service object, and the frame of a unary method that
 * does its work on a worker.
 */
#ifndef FS_SERVICE_IMPL_H
#define FS_SERVICE_IMPL_H

#include "base/arena.h"
#include "base/error.h"
#include "base/user.h"
#include "base/work.h"
#include "fs/entry.h"
#include "fs/service.h"
#include "rpc/call.h"
#include "rpc/context.h"

struct fs_service {
	struct context *context;
	struct fs_auth auth;
	bool keep_owner; /* fs_service_set_keep_owner */
};

/*
 * A unary method, embedded at the front of the method's own state:
 *
 *	static void stat_open(struct rpc_call *call, const ProtobufCMessage *request)
 *	{
 *		struct stat_call *c = fs_rpc_new(call, sizeof(*c));
 *
 *		if (c && fs_rpc_path(&c->rpc, request->path, &c->path) == 0)
 *			fs_rpc_submit(&c->rpc, stat_run, stat_done);
 *	}
 *
 * From submit to done the worker owns the whole struct, including the arena.
 */
struct fs_rpc {
	struct work work;
	struct rpc_call *call; /* holds a reference */
	struct context *context;
	struct user user;
	struct arena arena;
	struct fs_owners owners;
	struct error err; /* code ERROR_OK: none */
	void (*run)(struct fs_rpc *rpc);
	void (*done)(struct fs_rpc *rpc);
};

/*
 * Allocates a method's state: `bytes` of zeroed memory with the struct at its front, and the user
 * looked up. If the user does not exist, fails the call and returns NULL.
 */
void *fs_rpc_new(struct rpc_call *call, size_t bytes);

/* Resolves a path of the request. On -1 the call has failed and the state is freed. */
int fs_rpc_path(struct fs_rpc *rpc, const char *path, char **ret);

/* Calls `run` on a worker, then `done` on the loop, which ends with fs_rpc_end. */
void fs_rpc_submit(struct fs_rpc *rpc, void (*run)(struct fs_rpc *), void (*done)(struct fs_rpc *));

/*
 * Answers with rpc->err if it is set, else with `message`; then frees the state. `entry`, which may
 * be NULL, is the message's EntryInfo: it is reduced for an old client (fs/entry.h).
 */
void fs_rpc_end(struct fs_rpc *rpc, const ProtobufCMessage *message, Filesystem__EntryInfo *entry);

/*
 * Reports a change of files to the audit stream: paths[0] and, of a move, paths[1]. Call it before
 * the call ends.
 */
void fs_rpc_audit(const struct fs_rpc *rpc, const char *event, const char *const paths[2]);

/*
 * fs_rpc_is_legacy returns true if the client is an old one, whose entries are reduced
 * (fs/entry.h). fs_rpc_say_legacy adds FS_LEGACY_HEADER to the answer.
 */
bool fs_rpc_is_legacy(struct rpc_call *call);
void fs_rpc_say_legacy(struct rpc_call *call);

void fs_rpc_free(struct fs_rpc *rpc);

/* The endpoints: router_fn, with the service as their argument. */
void fs_download_open(struct stream *s, void *arg);
void fs_upload_open(struct stream *s, void *arg);
void fs_compose_open(struct stream *s, void *arg);

extern const struct rpc_method fs_rpc_stat;
extern const struct rpc_method fs_rpc_make_dir;
extern const struct rpc_method fs_rpc_move;
extern const struct rpc_method fs_rpc_list_dir;
extern const struct rpc_method fs_rpc_remove;

#endif
