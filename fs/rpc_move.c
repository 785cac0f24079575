/* SPDX-License-Identifier: Apache-2.0 */
/* filesystem.Filesystem/Move: a rename that makes the directories above its destination. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/make_dirs.h"
#include "fs/service_impl.h"

struct move_call {
	struct fs_rpc rpc;
	char *source;
	char *destination;
	struct fs_entry entry;
};

/*
 * Renames, but never onto a directory, not even an empty one, which rename(2) would replace:
 * existing clients know that as an error. 0 or -errno.
 */
static int move_path(const char *source, const char *destination)
{
	struct stat from, to;

	if (lstat(destination, &to) == 0 && S_ISDIR(to.st_mode)) {
		if (lstat(source, &from) < 0)
			return -errno;
		/* One directory by two names: a change of case where case does not count. */
		if (strcmp(source, destination) == 0 || from.st_dev != to.st_dev ||
		    from.st_ino != to.st_ino)
			return -EEXIST;
	}
	return rename(source, destination) < 0 ? -errno : 0;
}

static void move_run(struct fs_rpc *rpc)
{
	struct move_call *c = (struct move_call *)rpc;
	const char *from, *to;
	int r;

	if (fs_make_parents(c->destination, rpc->user.uid, rpc->user.gid, &rpc->err, NULL) < 0)
		return;
	r = move_path(c->source, c->destination);
	if (r == 0) {
		fs_entry_read(c->destination, &rpc->owners, &rpc->arena, &c->entry, &rpc->err);
		return;
	}
	from = fs_text(c->source, &rpc->arena);
	to = fs_text(c->destination, &rpc->arena);
	if (r == -ENOENT)
		error_set_errno(&rpc->err, ERROR_NOT_FOUND, r,
				"source file not found: rename %s %s", from, to);
	else
		error_set_errno(&rpc->err, ERROR_INTERNAL, r, "error renaming: rename %s %s", from,
				to);
}

static void move_done(struct fs_rpc *rpc)
{
	struct move_call *c = (struct move_call *)rpc;
	Filesystem__MoveResponse response = FILESYSTEM__MOVE_RESPONSE__INIT;

	response.entry = &c->entry.info;
	fs_rpc_end(rpc, &response.base, &c->entry.info);
}

static void move_open(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Filesystem__MoveRequest *request = (const void *)message;
	struct move_call *c = fs_rpc_new(call, sizeof(*c));

	if (c && fs_rpc_path(&c->rpc, request->source, &c->source) == 0 &&
	    fs_rpc_path(&c->rpc, request->destination, &c->destination) == 0)
		fs_rpc_submit(&c->rpc, move_run, move_done);
}

const struct rpc_method fs_rpc_move = {
	.service = "filesystem.Filesystem",
	.name = "Move",
	.kind = RPC_UNARY,
	.input = &filesystem__move_request__descriptor,
	.output = &filesystem__move_response__descriptor,
	.nul_code = ERROR_INTERNAL,
	.open = move_open,
};
