/* SPDX-License-Identifier: Apache-2.0 */
/* filesystem.Filesystem/MakeDir: makes a directory and its missing parents. */
#include <errno.h>

#include "fs/make_dirs.h"
#include "fs/service_impl.h"

struct make_dir_call {
	struct fs_rpc rpc;
	char *path;
	struct fs_entry entry;
};

static void make_dir_open(struct rpc_call *call, const ProtobufCMessage *message);
static void make_dir_run(struct fs_rpc *rpc);
static void make_dir_done(struct fs_rpc *rpc);

const struct rpc_method fs_rpc_make_dir = {
	.service = "filesystem.Filesystem",
	.name = "MakeDir",
	.kind = RPC_UNARY,
	.input = &filesystem__make_dir_request__descriptor,
	.output = &filesystem__make_dir_response__descriptor,
	.nul_code = ERROR_INTERNAL,
	.message_max_bytes = RPC_SMALL_MESSAGE_BYTES,
	.open = make_dir_open,
};

static void make_dir_open(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Filesystem__MakeDirRequest *request = (const void *)message;
	struct make_dir_call *c = fs_rpc_new(call, sizeof(*c));

	if (c && fs_rpc_path(&c->rpc, request->path, &c->path) == 0)
		fs_rpc_submit(&c->rpc, make_dir_run, make_dir_done);
}

/* The directory exists already, or another call made it first. */
static void fail_exists(struct fs_rpc *rpc, const char *shown)
{
	error_set(&rpc->err, ERROR_ALREADY_EXISTS, "directory already exists: %s", shown);
}

static void make_dir_run(struct fs_rpc *rpc)
{
	struct make_dir_call *c = (struct make_dir_call *)rpc;
	const char *shown = fs_text(c->path, &rpc->arena);
	struct stat st;
	int r;

	if (stat(c->path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			fail_exists(rpc, shown);
		else
			error_set(&rpc->err, ERROR_INVALID_ARGUMENT,
				  "path already exists but it is not a directory: %s", shown);
	} else if (errno != ENOENT) {
		error_set_errno(&rpc->err, ERROR_INTERNAL, errno,
				"error getting file info: stat %s", shown);
	} else {
		r = fs_make_dirs(c->path, rpc->user.uid, rpc->user.gid, &rpc->err, NULL);
		/* Another call has made the directory since the stat(2) above. */
		if (r > 0)
			fail_exists(rpc, shown);
		else if (r == 0)
			fs_entry_read(c->path, &rpc->owners, &rpc->arena, &c->entry, &rpc->err);
	}
}

static void make_dir_done(struct fs_rpc *rpc)
{
	struct make_dir_call *c = (struct make_dir_call *)rpc;
	Filesystem__MakeDirResponse response = FILESYSTEM__MAKE_DIR_RESPONSE__INIT;

	response.entry = &c->entry.info;
	fs_rpc_end(rpc, &response.base, &c->entry.info);
}
