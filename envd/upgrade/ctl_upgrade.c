/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /upgrade: from the request to the execve. In the order of the functions:
 *
 *	open ─► body to a file (worker) ─► check (worker) ─► freeze ─► image_execute
 *
 * The checks, their order, their statuses and their plain texts are the reference's. In addition,
 * a body that is not a program for this machine is refused with 400 before anything is frozen.
 *
 * The body is written to UPGRADE_PART. Only a program that has passed the check is renamed to
 * UPGRADE_PROGRAM, so a failed upload does not destroy the program that lies there: the daemon
 * itself may run from it. Every failure passes upgrade_discard, which removes what was written.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/audit.h"
#include "base/buffer.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/work.h"
#include "envd/control/audit.h"
#include "envd/control/control.h"
#include "envd/control/freezer.h"
#include "envd/control/run_files.h"
#include "envd/options.h"
#include "envd/upgrade/handover.h"
#include "envd/upgrade/image.h"
#include "envd/upgrade/program.h"
#include "envd/upgrade/upgrade.h"
#include "fs/http/sink.h"
#include "pty/handover.h"
#include "rpc/http/router.h"
#include "rpc/http/server.h"
#include "rpc/http/stream.h"

static void upgrade_open(struct stream *s, void *arg);
static int upgrade_take(struct fs_sink *sink, struct evbuffer *piece, bool last);
static void upgrade_received(struct fs_sink *sink);
static void upgrade_gone(struct fs_sink *sink);
static void upgrade_check(struct work *work);
static void upgrade_checked(struct work *work);
static void upgrade_frozen(void *arg, const struct freeze_result *result);
static void upgrade_execute(void *arg);
static void upgrade_thawed(void *arg, const struct thaw_result *result);
static void upgrade_discard(struct work *work);
static void upgrade_discarded(struct work *work);

enum upgrade_state {
	UPGRADE_IDLE,
	UPGRADE_RECEIVING,
	UPGRADE_CHECKING,
	UPGRADE_FREEZING,
	UPGRADE_THAWING,
	UPGRADE_DISCARDING,
};

struct upgrade {
	struct upgrade_parts parts;
	enum upgrade_state state;
	struct workers *workers; /* one thread */
	struct fs_sink sink;
	struct work check, discard;
	struct stream *stream; /* a reference; NULL while idle */
	bool has_body;	       /* the new program is the body, not this program itself */
	bool moved;	       /* the body was renamed to UPGRADE_PROGRAM */
	bool had_program;      /* UPGRADE_PROGRAM existed before that */
	int fd;		       /* of UPGRADE_PART while it is written; -1 */
	int blob_fd;	       /* -1 */
	uint64_t bytes;
	struct arena arena; /* of the command lines */
	struct image image;
	bool was_frozen;     /* by another freeze, which a failure leaves in effect */
	uint64_t generation; /* of the freeze */
	unsigned status;     /* of the refusal; 0: none */
	struct error err;
	void (*when_idle)(void *arg); /* NULL: nobody waits */
	void *when_idle_arg;
};

static void set_state(struct upgrade *u, enum upgrade_state state)
{
	static const char *const names[] = {
		[UPGRADE_IDLE] = "idle",	 [UPGRADE_RECEIVING] = "receiving",
		[UPGRADE_CHECKING] = "checking", [UPGRADE_FREEZING] = "freezing",
		[UPGRADE_THAWING] = "thawing",	 [UPGRADE_DISCARDING] = "discarding",
	};

	log_debug("upgrade: %s -> %s", names[u->state], names[state]);
	u->state = state;
}

struct upgrade *upgrade_new(const struct upgrade_parts *parts, struct router *router)
{
	struct upgrade *u = mem_zalloc(sizeof(*u));

	u->parts = *parts;
	u->fd = u->blob_fd = -1;
	u->workers = workers_new(parts->control->context->loop, "upgrade", 1);
	u->check.run = upgrade_check;
	u->check.done = upgrade_checked;
	u->discard.run = upgrade_discard;
	u->discard.done = upgrade_discarded;
	router_add(router, "POST", "/upgrade", upgrade_open, u);
	return u;
}

void upgrade_free(struct upgrade *u)
{
	if (!u)
		return;
	workers_free(u->workers);
	fd_close(&u->fd);
	fd_close(&u->blob_fd);
	arena_clear(&u->arena);
	free(u);
}

/* ---- refusals ---- */

/* The form of Go's http.Error: plain text, one line. */
static void reply_text(struct stream *s, unsigned status, const char *text)
{
	char line[ERROR_MESSAGE_BYTES + 2];

	snprintf(line, sizeof(line), "%s\n", text);
	stream_header(s, "X-Content-Type-Options", "nosniff");
	stream_reply(s, status, "text/plain; charset=utf-8", line, strlen(line));
}

/* `error` is NULL when the program was checked, before it replaces this one. */
static void audit_upgrade(const struct upgrade *u, const char *error)
{
	audit_event(&(struct audit_event){
		.name = "upgrade",
		.request = stream_log_request(u->stream),
		.asked_by = stream_user(u->stream),
		LOG_FIELDS(LOG_BOOL("with_program", u->has_body), LOG_TEXT("error", error))});
}

/* The upgrade failed for the reason in u->err. upgrade_discarded tells the caller. */
static void give_up(struct upgrade *u, unsigned status)
{
	log_error("upgrade: %s", u->err.message);
	audit_upgrade(u, u->err.message);
	u->status = status;
	set_state(u, UPGRADE_DISCARDING);
	work_submit(u->workers, &u->discard);
}

/* The reason why the request is refused at its head; NULL if it is not. */
static const char *refusal(const struct upgrade *u, const struct stream *s, unsigned *ret_status)
{
	const char *target = stream_header_in(s, "x-envd-upgrade-bin");

	*ret_status = 503;
	if (server_is_ending(u->parts.control->server))
		return "the daemon is ending";
	*ret_status = 409;
	if (!u->parts.control->initialized)
		return "envd not initialized";
	if (ctl_fsfreeze_active(u->parts.control))
		return "the file system is frozen (/fsfreeze)";
	if (target && *target && strcmp(target, UPGRADE_PROGRAM) != 0) {
		*ret_status = 400;
		return "unsupported upgrade target";
	}
	if (u->parts.options->no_upgrade) {
		*ret_status = 501;
		return "live upgrades are turned off (-no-upgrade)";
	}
	if (stream_is_restricted(s)) {
		*ret_status = 403;
		return "live upgrades are not accepted over this listener (-upgrade-over)";
	}
	return u->state == UPGRADE_IDLE ? NULL : "another upgrade is in progress";
}

/* ---- open ---- */

static void upgrade_open(struct stream *s, void *arg)
{
	struct upgrade *u = arg;
	const char *length = stream_header_in(s, "content-length");
	unsigned status;
	const char *why = refusal(u, s, &status);

	if (why) {
		reply_text(s, status, why);
		return;
	}
	u->stream = stream_ref(s);
	u->status = 0;
	u->bytes = 0;
	u->moved = false;
	u->has_body = !length || strcmp(length, "0") != 0;
	if (!u->has_body) {
		set_state(u, UPGRADE_CHECKING);
		work_submit(u->workers, &u->check);
		return;
	}
	set_state(u, UPGRADE_RECEIVING);
	/* Anew: the sink of an upload before this one is at its end. */
	u->sink = (struct fs_sink){
		.take = upgrade_take,
		.done = upgrade_received,
		.gone = upgrade_gone,
	};
	fs_sink_start(&u->sink, s, u->workers, &u->parts.control->context->budget);
}

/* ---- the body, on the worker ---- */

/* Creates a new file: a leftover of a crash may be open elsewhere, or may be no regular file. */
static int open_part(struct upgrade *u)
{
	if (unlink(UPGRADE_PART) < 0 && errno != ENOENT)
		return -errno;
	u->fd = open(UPGRADE_PART, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0755);
	if (u->fd < 0)
		return -errno;
	return fchmod(u->fd, 0755) < 0 ? -errno : 0;
}

static int fail_body(struct upgrade *u, unsigned status, int r)
{
	u->status = status;
	if (r < 0)
		error_set_errno(&u->err, ERROR_INTERNAL, r, "write %s", UPGRADE_PROGRAM);
	return -1;
}

static int upgrade_take(struct fs_sink *sink, struct evbuffer *piece, bool last)
{
	struct upgrade *u = container_of(sink, struct upgrade, sink);
	size_t n = evbuffer_get_length(piece);
	int r = u->fd < 0 ? open_part(u) : 0;

	u->bytes += n;
	if (u->bytes > UPGRADE_MAX_BYTES) {
		error_set(&u->err, ERROR_INVALID_ARGUMENT, "the program is larger than %llu bytes",
			  UPGRADE_MAX_BYTES);
		return fail_body(u, 413, 0);
	}
	while (r == 0 && evbuffer_get_length(piece) > 0)
		if (evbuffer_write(piece, u->fd) < 0 && errno != EINTR)
			r = -errno;
	return r < 0 ? fail_body(u, 500, r) : 0;
}

/* The client's stream waits for the answer: the sink must not get its callbacks any more. */
static void end_body(struct upgrade *u)
{
	static const struct stream_handler waiting;

	fs_sink_clear(&u->sink);
	stream_set_handler(u->stream, &waiting, u);
}

static void upgrade_received(struct fs_sink *sink)
{
	struct upgrade *u = container_of(sink, struct upgrade, sink);

	end_body(u);
	/* An executable that is open for writing can't be executed. */
	fd_close(&u->fd);
	if (u->status) {
		give_up(u, u->status);
		return;
	}
	set_state(u, UPGRADE_CHECKING);
	work_submit(u->workers, &u->check);
}

/* The body was cut short, or the client went away. */
static void upgrade_gone(struct fs_sink *sink)
{
	struct upgrade *u = container_of(sink, struct upgrade, sink);

	end_body(u);
	fd_close(&u->fd);
	error_set(&u->err, ERROR_CANCELED, "unexpected EOF");
	give_up(u, 500);
}

/* ---- the check, on the worker ---- */

/* Gives the body the name under which it is executed. */
static int move_program(struct upgrade *u)
{
	if (!u->has_body)
		return 0;
	u->had_program = access(UPGRADE_PROGRAM, F_OK) == 0;
	if (rename(UPGRADE_PART, UPGRADE_PROGRAM) < 0)
		return error_set_errno(&u->err, ERROR_INTERNAL, errno, "%s", UPGRADE_PROGRAM);
	u->moved = true;
	return 0;
}

/*
 * Called before the freeze, so that the write after the freeze needs no new file. The file is
 * always a new one: a FIFO at this path would block the worker, and an old file may be open
 * elsewhere.
 */
static int open_blob(struct upgrade *u)
{
	/* The guest may have removed or covered the directory since the daemon's start. */
	mkdir(RUN_FILES_DIRECTORY, 0755);
	if (unlink(HANDOVER_BLOB) < 0 && errno != ENOENT)
		return error_set_errno(&u->err, ERROR_INTERNAL, errno, "%s", HANDOVER_BLOB);
	u->blob_fd =
		open(HANDOVER_BLOB, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (u->blob_fd < 0 || fchmod(u->blob_fd, 0600) < 0)
		return error_set_errno(&u->err, ERROR_INTERNAL, errno, "%s", HANDOVER_BLOB);
	u->image.blob_fd = u->blob_fd;
	return 0;
}

static void upgrade_check(struct work *work)
{
	struct upgrade *u = container_of(work, struct upgrade, check);

	const struct program program = {
		.path = u->has_body ? UPGRADE_PART : NULL,
		.name = UPGRADE_PROGRAM,
		.options = u->parts.options,
		.sockets_are_held = u->parts.sockets_are_held,
	};

	if (program_check(&program, &u->arena, &u->image, &u->err) < 0)
		u->status = u->err.code == ERROR_INTERNAL ? 500 : 400;
	else if (open_blob(u) < 0 || move_program(u) < 0)
		u->status = 500;
}

/* ---- the freeze ---- */

/*
 * Blocks or unblocks all signals. A signal that came between the last turn of the loop and the
 * execve would be lost: its handler only notes it for the loop. One that came after the execve
 * would end the new program, which has no handlers yet: SIGUSR1, for example. A blocked signal is
 * pending, and stays so over an execve (execve(2)); a build of envd unblocks it when it has its
 * handlers (envd/daemon.c).
 */
static void hold_signals(bool hold)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &all, NULL);
}

static bool end_is_pending(const struct upgrade *u)
{
	sigset_t pending;

	sigpending(&pending);
	return server_is_ending(u->parts.control->server) || sigismember(&pending, SIGTERM) == 1 ||
	       sigismember(&pending, SIGINT) == 1;
}

static void upgrade_checked(struct work *work)
{
	struct upgrade *u = container_of(work, struct upgrade, check);
	struct freezer *freezer = u->parts.control->freezer;
	const struct freeze_request request = {.max_wait_ms = UPGRADE_FREEZE_MS};

	if (!u->status && end_is_pending(u)) {
		error_set(&u->err, ERROR_UNAVAILABLE, "handover aborted: the daemon is ending");
		u->status = 500;
	}
	if (u->status) {
		give_up(u, u->status);
		return;
	}
	audit_upgrade(u, NULL);
	set_state(u, UPGRADE_FREEZING);
	/* Before the freeze, so that the loop sees a signal from before this before it ends. */
	hold_signals(true);
	pty_handover_pause(u->parts.pty, true);
	u->was_frozen = freezer_is_frozen(freezer);
	freezer_freeze(freezer, &request, upgrade_frozen, u);
	u->generation = freezer_generation(freezer);
}

/*
 * Undoes upgrade_checked: the workload continues, unless another freeze was requested before or
 * since, and its output is read again.
 */
static void undo(struct upgrade *u)
{
	const struct thaw_request request = {.generation = u->generation};

	set_state(u, UPGRADE_THAWING);
	pty_handover_pause(u->parts.pty, false);
	hold_signals(false);
	if (u->was_frozen)
		give_up(u, 500);
	else
		freezer_thaw(u->parts.control->freezer, &request, upgrade_thawed, u);
}

static void upgrade_thawed(void *arg, const struct thaw_result *result)
{
	give_up(arg, 500);
}

static void upgrade_frozen(void *arg, const struct freeze_result *result)
{
	struct upgrade *u = arg;

	if (result->failed || result->not_frozen) {
		error_set(&u->err, ERROR_INTERNAL,
			  "handover aborted: freeze workload: %u cgroups failed, %u did not stop",
			  result->failed, result->not_frozen);
		undo(u);
		return;
	}
	/* What waits in the queue of the audit stream would be lost with this program. */
	audit_drain(u->parts.audit, UPGRADE_AUDIT_MS, upgrade_execute, u);
}

static void upgrade_execute(void *arg)
{
	struct upgrade *u = arg;

	if (end_is_pending(u))
		error_set(&u->err, ERROR_UNAVAILABLE, "handover aborted: the daemon is ending");
	else if (ctl_fsfreeze_active(u->parts.control))
		/*
		 * execve(2) waits for the end of all threads, and a worker that writes to the file
		 * system does not end before the thaw.
		 */
		error_set(&u->err, ERROR_ABORTED, "handover aborted: the file system was frozen");
	else if (!freezer_holds(u->parts.control->freezer))
		error_set(&u->err, ERROR_ABORTED, "handover aborted: the workload was thawed");
	else
		image_execute(&u->parts, &u->image, &u->err);
	undo(u);
}

/* ---- after a failure ---- */

/*
 * On the worker. A file that this upgrade has made is removed. The state has the kept output and
 * variables of clients, which would stay readable there, and in memory if /run is a tmpfs.
 */
static void upgrade_discard(struct work *work)
{
	struct upgrade *u = container_of(work, struct upgrade, discard);

	if (u->has_body && !u->moved)
		unlink(UPGRADE_PART);
	if (u->moved && !u->had_program)
		unlink(UPGRADE_PROGRAM);
	if (u->blob_fd >= 0)
		unlink(HANDOVER_BLOB);
	fd_close(&u->blob_fd);
}

static void upgrade_discarded(struct work *work)
{
	struct upgrade *u = container_of(work, struct upgrade, discard);

	reply_text(u->stream, u->status, u->err.message);
	stream_unref(u->stream);
	u->stream = NULL;
	arena_clear(&u->arena);
	set_state(u, UPGRADE_IDLE);
	if (u->when_idle)
		u->when_idle(u->when_idle_arg);
}

void upgrade_when_idle(struct upgrade *u, void (*done)(void *arg), void *arg)
{
	if (u->state == UPGRADE_IDLE) {
		done(arg);
		return;
	}
	u->when_idle = done;
	u->when_idle_arg = arg;
}
