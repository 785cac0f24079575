/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filesystem.Filesystem/Move: a rename that makes the directories above its destination.
 *
 * Across file systems, and for a directory of an overlay's lower layer, rename(2) fails with EXDEV.
 * Then Move does what mv(1) does: it copies the source beside the destination, renames the copy,
 * and removes the source. Each step takes MOVE_STEP_MS of a worker, so that a large tree takes
 * turns with other work. If the copy fails, or the client goes away before it is complete, the copy
 * is removed and the source is untouched.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/budget.h"
#include "base/fd.h"
#include "base/log.h"
#include "fs/copy.h"
#include "fs/create.h"
#include "fs/make_dirs.h"
#include "fs/remove.h"
#include "fs/service_impl.h"

#define MOVE_STEP_MS 50

enum move_state {
	MOVE_RENAMING,
	MOVE_COPYING,  /* across file systems: to a temporary name beside the destination */
	MOVE_REMOVING, /* the copy is in its place, the source is being removed */
	MOVE_UNDOING,  /* the copy failed and is being removed */
	MOVE_ENDED,
};

struct move_call {
	struct fs_rpc rpc;
	enum move_state state;
	char *source;
	char *destination;
	struct fs_entry entry;

	/* Across file systems. */
	int error; /* the -errno with which the copy failed */
	char *to_dir, *to_name, *temp, *temp_path;
	struct fs_copy copy;
	struct fs_remove remove;
	struct budget_share share; /* names that the copy holds */
};

static void move_open(struct rpc_call *call, const ProtobufCMessage *message);
static void move_run(struct fs_rpc *rpc);
static void move_done(struct fs_rpc *rpc);

const struct rpc_method fs_rpc_move = {
	.service = "filesystem.Filesystem",
	.name = "Move",
	.kind = RPC_UNARY,
	.input = &filesystem__move_request__descriptor,
	.output = &filesystem__move_response__descriptor,
	.nul_code = ERROR_INTERNAL,
	.message_max_bytes = RPC_SMALL_MESSAGE_BYTES,
	.open = move_open,
};

static void move_open(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Filesystem__MoveRequest *request = (const void *)message;
	struct move_call *c = fs_rpc_new(call, sizeof(*c));

	if (!c || fs_rpc_path(&c->rpc, request->source, &c->source) < 0 ||
	    fs_rpc_path(&c->rpc, request->destination, &c->destination) < 0)
		return;
	budget_share_init(&c->share, &c->rpc.context->budget, BUDGET_CLASS_RESPONSES);
	fs_rpc_submit(&c->rpc, move_run, move_done);
}

/* ---- on a worker ---- */

static void set_state(struct move_call *c, enum move_state state)
{
	static const char *const names[] = {
		[MOVE_RENAMING] = "renaming", [MOVE_COPYING] = "copying",
		[MOVE_REMOVING] = "removing", [MOVE_UNDOING] = "undoing",
		[MOVE_ENDED] = "ended",
	};

	log_debug("move of %s: %s -> %s", fs_text(c->source, &c->rpc.arena), names[c->state],
		  names[state]);
	c->state = state;
}

static void fail(struct move_call *c, int errnum)
{
	const char *from = fs_text(c->source, &c->rpc.arena);
	const char *to = fs_text(c->destination, &c->rpc.arena);

	if (errnum == -ENOENT)
		error_set_errno(&c->rpc.err, ERROR_NOT_FOUND, errnum,
				"source file not found: rename %s %s", from, to);
	else
		error_set_errno(&c->rpc.err, ERROR_INTERNAL, errnum, "error renaming: rename %s %s",
				from, to);
	set_state(c, MOVE_ENDED);
}

static void succeed(struct move_call *c)
{
	struct fs_rpc *rpc = &c->rpc;

	fs_entry_read(c->destination, &rpc->owners, &rpc->arena, &c->entry, &rpc->err);
	set_state(c, MOVE_ENDED);
}

/*
 * Renames. If the destination is a directory, fails with -EEXIST, although rename(2) would replace
 * an empty one: existing clients expect the error. 0 or -errno.
 */
static int move_path(const char *source, const char *destination)
{
	struct stat from, to;

	if (lstat(destination, &to) == 0 && S_ISDIR(to.st_mode)) {
		if (lstat(source, &from) < 0)
			return -errno;
		/* Names of one directory that differ in case, on a case-insensitive file system. */
		if (strcmp(source, destination) == 0 || from.st_dev != to.st_dev ||
		    from.st_ino != to.st_ino)
			return -EEXIST;
	}
	return rename(source, destination) < 0 ? -errno : 0;
}

/* Splits a path at its last slash, ignoring slashes at the end. The results are in the arena. */
static void split(const char *path, struct arena *arena, char **ret_dir, char **ret_name)
{
	size_t n = strlen(path);
	char *slash;

	while (n > 1 && path[n - 1] == '/')
		n--;
	*ret_dir = arena_strndup(arena, path, n);
	slash = strrchr(*ret_dir, '/');
	*ret_name = arena_strdup(arena, slash + 1);
	slash[slash == *ret_dir] = '\0';
}

/* Begins the copy. 0 or -errno. */
static int begin_copy(struct move_call *c)
{
	struct arena *arena = &c->rpc.arena;
	FD_AUTO int from = -1;
	FD_AUTO int to = -1;
	char *from_dir, *from_name;
	struct stat source, old;

	split(c->source, arena, &from_dir, &from_name);
	split(c->destination, arena, &c->to_dir, &c->to_name);
	if (lstat(c->source, &source) < 0)
		return -errno;
	/* The rename(2) of the complete copy would fail with this error. */
	if (S_ISDIR(source.st_mode) && lstat(c->destination, &old) == 0)
		return -ENOTDIR;
	from = open(from_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	to = open(c->to_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (from < 0 || to < 0)
		return -errno;
	c->temp = arena_printf(arena, ".envd-move-%016" PRIx64, fs_random());
	c->temp_path = arena_printf(arena, "%s/%s", c->to_dir, c->temp);
	fs_copy_begin(&c->copy, from, from_name, to, c->temp);
	return 0;
}

static void rename_or_copy(struct move_call *c)
{
	struct fs_rpc *rpc = &c->rpc;
	int r;

	if (fs_make_parents(c->destination, rpc->user.uid, rpc->user.gid, &rpc->err, NULL) < 0) {
		set_state(c, MOVE_ENDED);
		return;
	}
	r = move_path(c->source, c->destination);
	if (r == 0) {
		succeed(c);
		return;
	}
	if (r == -EXDEV) {
		r = begin_copy(c);
		if (r == 0) {
			set_state(c, MOVE_COPYING);
			return;
		}
	}
	fail(c, r);
}

static void copy_on(struct move_call *c)
{
	char *to = c->temp_path;

	if (!c->error && !fs_copy_step(&c->copy, MOVE_STEP_MS))
		return;
	if (!c->error)
		c->error = c->copy.error;
	fs_copy_clear(&c->copy);
	if (!c->error && rename(to, c->destination) < 0)
		c->error = -errno;
	fs_remove_begin(&c->remove, c->error ? to : c->source);
	set_state(c, c->error ? MOVE_UNDOING : MOVE_REMOVING);
}

static void remove_on(struct move_call *c)
{
	int error;

	if (!fs_remove_step(&c->remove, MOVE_STEP_MS))
		return;
	error = c->remove.error;
	fs_remove_clear(&c->remove);
	if (c->state == MOVE_UNDOING) {
		fail(c, c->error);
	} else if (error) {
		error_set_errno(&c->rpc.err, ERROR_INTERNAL, error,
				"copied, but the source can't be removed: %s",
				fs_text(c->source, &c->rpc.arena));
		set_state(c, MOVE_ENDED);
	} else {
		succeed(c);
	}
}

static void move_run(struct fs_rpc *rpc)
{
	struct move_call *c = (struct move_call *)rpc;

	switch (c->state) {
	case MOVE_RENAMING:
		rename_or_copy(c);
		break;
	case MOVE_COPYING:
		copy_on(c);
		break;
	case MOVE_REMOVING:
	case MOVE_UNDOING:
		remove_on(c);
		break;
	case MOVE_ENDED:
		break;
	}
}

/* ---- on the loop ---- */

static void move_done(struct fs_rpc *rpc)
{
	struct move_call *c = (struct move_call *)rpc;
	Filesystem__MoveResponse response = FILESYSTEM__MOVE_RESPONSE__INIT;

	if (c->state != MOVE_ENDED) {
		if (c->state == MOVE_COPYING && !rpc_call_live(rpc->call))
			c->error = -ECANCELED;
		else if (c->state == MOVE_COPYING &&
			 !budget_share_set(&c->share, c->copy.memory_bytes))
			c->error = -ENOMEM;
		fs_rpc_submit(rpc, move_run, move_done);
		return;
	}
	budget_share_clear(&c->share);
	fs_rpc_audit(rpc, "file_moved", (const char *[2]){c->source, c->destination});
	response.entry = &c->entry.info;
	fs_rpc_end(rpc, &response.base, &c->entry.info);
}
