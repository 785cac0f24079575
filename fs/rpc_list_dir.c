/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filesystem.Filesystem/ListDir: the entries of a directory, to any depth.
 *
 * The worker encodes each entry when it finds it, so a large tree needs little memory beyond its
 * answer. The work is done in slices: after each slice the loop charges the memory, and ends the
 * call if the client has gone or the budget is used up.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/budget.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/thread.h"
#include "fs/netmount.h"
#include "fs/service_impl.h"
#include "fs/walk.h"

#define SLICE_MS    50
#define SLICE_BYTES (4u * 1024 * 1024)

/* The number of entries between two checks of the clock. */
#define CLOCK_ENTRIES 64

struct list_dir_call {
	struct fs_rpc rpc;
	char *requested; /* cleaned: the beginning of the paths that the answer shows */
	char *resolved;	 /* from malloc: the beginning of the paths for links and metadata */
	char *path[2];	 /* the current entry's path below each of the two */
	size_t path_capacity[2];
	uint32_t depth;
	enum rpc_codec codec;
	bool legacy;
	bool walking;
	bool finished;
	struct fs_walk walk;
	unsigned long stand_turn; /* walk.turns when the thread last tried to enter the directory */
	bool stands;		  /* it succeeded: the entry is read by its name alone */
	struct arena entry_arena;
	struct evbuffer *out;
	struct codec_list list;
	struct budget_share share; /* names and entries in memory */
};

static void list_open(struct rpc_call *call, const ProtobufCMessage *message);
static void list_run(struct fs_rpc *rpc);
static void list_done(struct fs_rpc *rpc);

const struct rpc_method fs_rpc_list_dir = {
	.service = "filesystem.Filesystem",
	.name = "ListDir",
	.kind = RPC_UNARY,
	.input = &filesystem__list_dir_request__descriptor,
	.output = &filesystem__list_dir_response__descriptor,
	.nul_code = ERROR_INTERNAL,
	.message_max_bytes = RPC_SMALL_MESSAGE_BYTES,
	.open = list_open,
};

static void list_open(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Filesystem__ListDirRequest *request = (const void *)message;
	struct list_dir_call *c = fs_rpc_new(call, sizeof(*c));

	if (!c || fs_rpc_path(&c->rpc, request->path, &c->requested) < 0)
		return;
	c->depth = request->depth ? request->depth : 1;
	c->codec = rpc_call_codec(call);
	c->legacy = fs_rpc_is_legacy(call);
	c->out = evbuffer_new();
	budget_share_init(&c->share, &c->rpc.context->budget, BUDGET_CLASS_RESPONSES);
	fs_rpc_submit(&c->rpc, list_run, list_done);
}

static void list_fail(struct list_dir_call *c, enum error_code code, int errnum, const char *what)
{
	error_set_errno(&c->rpc.err, code, errnum, "%s %s", what,
			fs_text(c->requested, &c->rpc.arena));
	c->finished = true;
}

/* Finds the directory and begins the walk. */
static void list_begin(struct list_dir_call *c)
{
	int fd, r;

	c->resolved = realpath(c->requested, NULL);
	c->requested = path_clean(&c->rpc.arena, c->requested);
	if (!c->resolved) {
		if (errno == ENOENT)
			list_fail(c, ERROR_NOT_FOUND, errno, "path not found: lstat");
		else if (errno == ELOOP)
			list_fail(c, ERROR_FAILED_PRECONDITION, errno, "cyclic symlink:");
		else
			list_fail(c, ERROR_INTERNAL, errno, "error resolving symlink: lstat");
		return;
	}
	fd = open(c->resolved, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		if (errno == ENOTDIR)
			list_fail(c, ERROR_INVALID_ARGUMENT, errno, "path is not a directory:");
		else if (errno == ENOENT)
			list_fail(c, ERROR_NOT_FOUND, errno, "directory not found: open");
		else
			list_fail(c, ERROR_INTERNAL, errno, "error reading directory");
		return;
	}
	r = fs_walk_init(&c->walk, fd);
	if (r < 0) {
		list_fail(c, ERROR_INTERNAL, r, "error reading directory");
		return;
	}
	c->walking = true;
	codec_list_begin(&c->list, c->codec, &filesystem__list_dir_response__descriptor, "entries",
			 c->out);
}

/* Returns the path of the current entry below `top`, in the buffer path[which]. */
static char *entry_path(struct list_dir_call *c, int which, const char *top)
{
	size_t top_bytes = strlen(top), bytes = strlen(c->walk.relative);
	size_t needed = top_bytes + bytes + 2;

	if (top_bytes == 1) /* "/" has its slash already */
		top_bytes = 0;
	if (needed > c->path_capacity[which]) {
		c->path_capacity[which] = needed + PATH_MAX;
		c->path[which] = mem_realloc(c->path[which], c->path_capacity[which]);
	}
	memcpy(c->path[which], top, top_bytes);
	c->path[which][top_bytes] = '/';
	memcpy(c->path[which] + top_bytes + 1, c->walk.relative, bytes + 1);
	return c->path[which];
}

/*
 * Returns the current entry's directory, for fs_entry_read_at. If possible the thread enters the
 * directory and AT_FDCWD is returned: before Linux 6.13 extended attributes can be read by path
 * only (no getxattrat(2)), and resolving a long path for each entry dominates the cost.
 */
static int list_dirfd(struct list_dir_call *c)
{
	int fd = fs_walk_dirfd(&c->walk);

	if (c->stand_turn != c->walk.turns) {
		c->stand_turn = c->walk.turns;
		c->stands = thread_enter_dir(fd) == 0;
	}
	return c->stands ? AT_FDCWD : fd;
}

/*
 * Adds the current entry to the answer, and enters it. An entry that has vanished is left out. A
 * dead mount appears with name and type only, and the rest of the directory is listed.
 */
static void list_entry(struct list_dir_call *c)
{
	struct fs_entry entry;
	int r;

	arena_clear(&c->entry_arena);
	r = fs_entry_read_at(list_dirfd(c), c->walk.name, entry_path(c, 0, c->resolved),
			     entry_path(c, 1, c->requested), &c->rpc.owners, &c->entry_arena,
			     &entry);
	if (r == -ENOENT)
		return;
	if (r < 0 && fs_errno_is_dead_mount(r)) {
		fs_entry_unknown(c->path[1], c->walk.type, &c->entry_arena, &entry);
		entry.stat.st_mode = 0;
	} else if (r < 0) {
		list_fail(c, ERROR_INTERNAL, r, "error reading directory");
		return;
	}
	if (c->legacy)
		fs_entry_make_legacy(&entry.info);
	if (codec_list_add(&c->list, &entry.info.base, &c->rpc.err) < 0) {
		c->finished = true;
		return;
	}
	if (!S_ISDIR(entry.stat.st_mode) || c->walk.depth >= c->depth)
		return;
	r = fs_walk_enter(&c->walk);
	if (r < 0 && r != -ENOENT && r != -ENOTDIR && r != -ELOOP && !fs_errno_is_dead_mount(r))
		list_fail(c, ERROR_INTERNAL, r, "error reading directory");
}

static size_t list_bytes(const struct list_dir_call *c)
{
	return c->walk.memory_bytes + evbuffer_get_length(c->out);
}

static void list_slice(struct list_dir_call *c)
{
	uint64_t until = clock_monotonic_ms() + SLICE_MS;
	size_t limit = c->share.used + SLICE_BYTES;
	unsigned count = 0;

	if (!c->walking)
		list_begin(c);
	while (!c->finished && list_bytes(c) < limit) {
		switch (fs_walk_next(&c->walk)) {
		case FS_WALK_ENTRY:
			list_entry(c);
			break;
		case FS_WALK_PAUSE:
			return;
		case FS_WALK_ERROR:
			list_fail(c, ERROR_INTERNAL, c->walk.error, "error reading directory");
			break;
		case FS_WALK_END:
			codec_list_end(&c->list);
			c->finished = true;
		}
		if (++count % CLOCK_ENTRIES == 0 && clock_monotonic_ms() >= until)
			return;
	}
}

static void list_run(struct fs_rpc *rpc)
{
	struct list_dir_call *c = (struct list_dir_call *)rpc;

	c->stand_turn = 0;
	list_slice(c);
	thread_leave_dir();
}

static void list_free(struct list_dir_call *c)
{
	budget_share_clear(&c->share);
	if (c->walking)
		fs_walk_clear(&c->walk);
	codec_list_clear(&c->list);
	evbuffer_free(c->out);
	arena_clear(&c->entry_arena);
	free(c->resolved);
	free(c->path[0]);
	free(c->path[1]);
	fs_rpc_free(&c->rpc);
}

static void list_done(struct fs_rpc *rpc)
{
	struct list_dir_call *c = (struct list_dir_call *)rpc;

	if (!c->rpc.err.code && !budget_share_set(&c->share, list_bytes(c))) {
		error_set(&rpc->err, ERROR_RESOURCE_EXHAUSTED,
			  "the listing of %s needs more memory than is free for answers",
			  fs_text(c->requested, &rpc->arena));
		c->finished = true;
	}
	if (!c->finished && rpc_call_live(rpc->call)) {
		fs_rpc_submit(rpc, list_run, list_done);
		return;
	}
	if (rpc->err.code) {
		rpc_fail(rpc->call, &rpc->err);
	} else {
		if (c->legacy)
			fs_rpc_say_legacy(rpc->call);
		rpc_reply_encoded(rpc->call, c->out);
	}
	list_free(c);
}
