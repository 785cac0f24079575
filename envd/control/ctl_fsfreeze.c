/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /fsfreeze freezes the root file system for a snapshot of its disk; POST /fsthaw thaws it
 * (FIFREEZE and FITHAW, linux/fs.h).
 *
 * While the file system is frozen, every write to it blocks, including writes of the daemon's
 * workers. Therefore both calls use a pool of their own, and log lines for files on disk are
 * dropped. The pool keeps its thread from a /fsfreeze to the /fsthaw: a guest that has used up all
 * processes meanwhile can't prevent the thaw. If the kernel refuses the thread, the calls run on
 * the pool for kills, one at a time: a workload that was frozen with all processes used up must be
 * paused like any other.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/work.h"
#include "envd/control/control.h"
#include "rpc/http/router.h"
#include "rpc/http/stream.h"

struct fsfreeze_call {
	struct work work;
	struct control *control;
	struct stream *stream;
	bool on_spare; /* runs on the pool for kills */
	bool thaw;
	int result; /* -errno */
};

static void fsfreeze(struct stream *s, void *arg);
static void fsthaw(struct stream *s, void *arg);
static void fsfreeze_open(struct stream *s, struct control *c, bool thaw);
static void fsfreeze_run(struct work *work);
static void fsfreeze_done(struct work *work);

void ctl_fsfreeze_register(struct control *c, struct router *router)
{
	router_add(router, "POST", "/fsfreeze", fsfreeze, c);
	router_add(router, "POST", "/fsthaw", fsthaw, c);
}

static void fsfreeze(struct stream *s, void *arg)
{
	fsfreeze_open(s, arg, false);
}

static void fsthaw(struct stream *s, void *arg)
{
	fsfreeze_open(s, arg, true);
}

static void fsfreeze_open(struct stream *s, struct control *c, bool thaw)
{
	struct fsfreeze_call *call = arena_zalloc(stream_arena(s), sizeof(*call));

	/* Another pool would not keep the order of the calls. */
	if (c->fsfreeze_on_spare) {
		stream_reply_error(s, 503, "an earlier call has not ended");
		return;
	}
	call->on_spare = workers_keep_thread(c->fsfreeze_workers) < 0;
	c->fsfreeze_on_spare = call->on_spare;
	call->control = c;
	call->stream = stream_ref(s);
	call->thaw = thaw;
	if (!thaw)
		c->disk_freezes++;
	call->work.run = fsfreeze_run;
	call->work.done = fsfreeze_done;
	work_submit(call->on_spare ? c->context->kill_workers : c->fsfreeze_workers, &call->work);
}

bool ctl_fsfreeze_active(const struct control *c)
{
	return c->disk_freezes > 0 || c->disk_frozen;
}

/*
 * If the file system is already in that state, the call succeeds: EBUSY when freezing, EINVAL when
 * thawing.
 */
static void fsfreeze_run(struct work *work)
{
	struct fsfreeze_call *call = container_of(work, struct fsfreeze_call, work);
	FD_AUTO int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (!call->thaw)
		log_hold_files(true);
	if (fd < 0 || (ioctl(fd, call->thaw ? FITHAW : FIFREEZE, 0) < 0 &&
		       errno != (call->thaw ? EINVAL : EBUSY)))
		call->result = -errno;
	if (call->result == 0)
		call->control->disk_holds_log = !call->thaw;
	if (call->thaw || !call->control->disk_holds_log)
		log_hold_files(false);
}

static void fsfreeze_done(struct work *work)
{
	struct fsfreeze_call *call = container_of(work, struct fsfreeze_call, work);
	struct error err;

	if (call->on_spare)
		call->control->fsfreeze_on_spare = false;
	if (!call->thaw)
		call->control->disk_freezes--;
	if (call->result == 0)
		call->control->disk_frozen = !call->thaw;
	if (!call->control->disk_frozen && workers_busy(call->control->fsfreeze_workers) == 0)
		workers_release_thread(call->control->fsfreeze_workers);
	if (call->result < 0) {
		error_set_errno(&err, ERROR_INTERNAL, call->result, "%s /",
				call->thaw ? "FITHAW" : "FIFREEZE");
		stream_reply_error(call->stream, 500, err.message);
	} else {
		stream_header(call->stream, "Cache-Control", "no-store");
		stream_reply(call->stream, 204, NULL, NULL, 0);
	}
	stream_unref(call->stream);
}
