/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/upgrade/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "envd/boot/inherited.h"
#include "envd/control/control.h"
#include "envd/control/freezer.h"
#include "envd/control/volumes.h"
#include "envd/upgrade/sums.h"
#include "pty/handover.h"
#include "rpc/codec/codec.h"
#include "watch/handover.h"

#define FIRST_FD 3
#define NO_FD	 INT32_MAX /* no descriptor has this number */
/* Without close_range (Linux before 5.9) descriptors up to here are closed one by one. */
#define LAST_TRIED_FD 65536

/* ---- reading ---- */

int handover_decode(const void *p, size_t n, struct arena *arena, Handover__HandoverState **ret,
		    struct error *err)
{
	ProtobufCMessage *message;
	Handover__HandoverState *state;

	if (codec_decode(RPC_CODEC_PROTO, &handover__handover_state__descriptor, p, n,
			 ERROR_INVALID_ARGUMENT, arena, &message, err) < 0)
		return -1;
	state = (Handover__HandoverState *)message;
	if (state->schema > HANDOVER_SCHEMA)
		return error_set(err, ERROR_INVALID_ARGUMENT, "schema %u is newer than %d",
				 state->schema, HANDOVER_SCHEMA);
	*ret = state;
	return 0;
}

/*
 * Reads a regular file that belongs to the daemon's user. A process of the guest could put another
 * kind of file there: that is -EPERM, and the open of a FIFO does not wait for a writer. Returns 0
 * with an owned buffer, or -errno.
 */
static int read_own_file(const char *path, char **ret, size_t *ret_bytes)
{
	FD_AUTO int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	struct stat status;
	ssize_t n;

	if (fd < 0 || fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode) || status.st_uid != geteuid())
		return -EPERM;
	if (status.st_size > HANDOVER_MAX_BYTES)
		return -EFBIG;
	*ret = mem_alloc((size_t)status.st_size + 1);
	n = fd_read_all(fd, *ret, (size_t)status.st_size);
	if (n < 0)
		return (int)n;
	*ret_bytes = (size_t)n;
	return 0;
}

static void read_state(struct handover *h, const char *path)
{
	struct error err;
	size_t n = 0;
	char *text = NULL;
	int r = read_own_file(path, &text, &n);

	if (r == -ENOENT)
		return; /* nothing to adopt, which is no failure */
	h->failed = true;
	if (r < 0)
		log_error("handover: %s: %s", path, error_errno_text(r));
	else if (handover_decode(text, n, &h->arena, &h->state, &err) < 0)
		log_error("handover: %s: %s", path, err.message);
	else
		h->failed = false;
	free(text);
	if (unlink(path) < 0)
		log_error("handover: %s: %s", path, error_errno_text(errno));
}

struct kept {
	int *fds;
	size_t n;
};

static void keep(struct kept *kept, int fd)
{
	if (fd >= FIRST_FD)
		kept->fds[kept->n++] = fd;
}

/*
 * Keeps a descriptor that the state names. The state is a file, and may be wrong: a number that is
 * not open becomes one that never is, because the daemon is about to open descriptors of its own.
 * What has come through the execve was not close-on-exec, so a number that is names a socket of the
 * daemon, or a descriptor that the state has named before.
 */
static void keep_named(struct kept *kept, int32_t *fd)
{
	if (*fd < FIRST_FD)
		return;
	if (fcntl(*fd, F_GETFD) != 0 || fcntl(*fd, F_SETFD, FD_CLOEXEC) < 0)
		*fd = NO_FD;
	else
		keep(kept, *fd);
}

static int compare_numbers(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

static void close_between(unsigned first, unsigned last)
{
	unsigned fd;

	if (first > last || syscall(SYS_close_range, first, last, 0u) == 0)
		return;
	for (fd = first; fd <= last && fd < LAST_TRIED_FD; fd++)
		close((int)fd);
}

/*
 * Closes every descriptor from FIRST_FD up except those of processes, the listening sockets and the
 * notify socket. The reference leaks some of its own over the execve.
 */
static void close_others(const struct handover *h, const struct inherited *inherited)
{
	size_t n_processes = h->state ? h->state->n_processes : 0, i;
	size_t n_discarded = h->state ? h->state->n_discarded_fds : 0;
	struct kept kept = {.fds = mem_alloc((n_processes * 4 + n_discarded + INHERITED_MAX + 1) *
					     sizeof(int))};
	unsigned first = FIRST_FD;

	for (i = 0; i < n_processes; i++) {
		keep_named(&kept, &h->state->processes[i]->stdout_fd);
		keep_named(&kept, &h->state->processes[i]->stderr_fd);
		keep_named(&kept, &h->state->processes[i]->stdin_fd);
		keep_named(&kept, &h->state->processes[i]->tty_fd);
	}
	for (i = 0; i < n_discarded; i++)
		keep_named(&kept, &h->state->discarded_fds[i]);
	for (i = 0; i < inherited->n; i++)
		keep(&kept, inherited->fds[i]);
	keep(&kept, inherited->notify_fd);
	qsort(kept.fds, kept.n, sizeof(int), compare_numbers);
	for (i = 0; i < kept.n; i++) {
		if ((unsigned)kept.fds[i] > first)
			close_between(first, (unsigned)kept.fds[i] - 1);
		first = (unsigned)kept.fds[i] + 1;
	}
	close_between(first, ~0u);
	free(kept.fds);
}

void handover_read(struct handover *h, const char *blob_path, const struct inherited *inherited)
{
	memset(h, 0, sizeof(*h));
	read_state(h, blob_path);
	close_others(h, inherited);
}

/* ---- adopting ---- */

/* The time for an /init has passed. If one came, it has thawed the workload. */
static void thaw_without_init(void *arg)
{
	struct handover *h = arg;
	const struct thaw_request request = {0};

	if (h->control->initialized)
		return;
	log_error("handover: no /init for %u s, the workload is thawed", h->thaw_s);
	freezer_thaw(h->control->freezer, &request, NULL, NULL);
}

static void thaw_now(struct handover *h)
{
	const struct thaw_request request = {0};

	freezer_thaw(h->control->freezer, &request, NULL, NULL);
}

/*
 * Kills a socat child, with which the reference forwards a port. The socat holds the address; when
 * it has ended, the port forwarder of this daemon binds the port at its next scan. *ret_helper is
 * the pid to reap, or 0.
 */
static void end_forward(const Handover__ForwardedPort *forward, int32_t *ret_helper)
{
	pid_t pid = forward->socat_pid;
	siginfo_t info;

	*ret_helper = 0;
	/* Only a child of ours: the number may be another process' by now. */
	if (pid < 2 || waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
		return;
	kill(getpgid(pid) == pid ? -pid : pid, SIGKILL);
	*ret_helper = pid;
}

static void adopt_control_state(struct handover *h)
{
	const Handover__HandoverState *state = h->state;
	struct control *control = h->control;
	struct context *context = control->context;
	size_t i;

	for (i = 0; i < state->n_mounts; i++)
		volumes_remember(control->volumes, state->mounts[i]->path,
				 state->mounts[i]->lifecycle_id);
	for (i = 0; i < state->n_envs; i++)
		if (*state->envs[i]->name)
			context_env_set(context, state->envs[i]->name, state->envs[i]->value,
					false);
	if (state->defaults && *state->defaults->user)
		context_set_default_user(context, state->defaults->user);
	if (state->defaults && state->defaults->has_workdir)
		context_set_default_workdir(context, state->defaults->workdir);
	if (*state->lifecycle_id && !control->lifecycle)
		control->lifecycle = mem_strdup(state->lifecycle_id);
	if (state->newest_init_ns) {
		control->has_newest = true;
		control->newest_ns = state->newest_init_ns;
	}
	freezer_adopt(control->freezer, state->guest_frozen_cgroups, state->n_guest_frozen_cgroups);
}

/* Kills the socat children of the reference, and adds their pids to those to reap. */
static void add_forwards(struct handover *h)
{
	Handover__HandoverState *state = h->state;
	int32_t *pids = arena_alloc(&h->arena, (state->n_helper_pids + state->n_forwards + 1) *
						       sizeof(int32_t));
	size_t i, n = state->n_helper_pids;

	if (n)
		memcpy(pids, state->helper_pids, n * sizeof(int32_t));
	for (i = 0; i < state->n_forwards; i++) {
		end_forward(state->forwards[i], &pids[n]);
		n += pids[n] != 0;
	}
	state->helper_pids = pids;
	state->n_helper_pids = n;
}

static void stop_waiting(void *arg)
{
	struct handover *h = arg;

	loop_stop(h->loop);
}

/*
 * Runs the loop until all watches exist. The thaw comes later, so pollers miss no event of the
 * workload.
 */
static void adopt_watchers(struct handover *h, struct watch_service *watch,
			   struct watch_adopted *ret)
{
	if (!watch_handover_adopt(watch, h->state, ret, stop_waiting, h))
		return;
	timer_init(&h->watch_limit, h->loop, stop_waiting, h);
	timer_set_ms(&h->watch_limit, HANDOVER_WATCH_MS);
	loop_run(h->loop);
	timer_cancel(&h->watch_limit);
	watch_handover_finish(watch, ret);
}

void handover_adopt(struct handover *h, struct loop *loop, struct control *control,
		    struct pty_service *pty, struct watch_service *watch, unsigned thaw_s)
{
	struct pty_adopted procs = {0};
	struct watch_adopted watchers = {0};

	h->loop = loop;
	h->control = control;
	h->thaw_s = thaw_s;
	timer_init(&h->thaw, loop, thaw_without_init, h);
	if (h->state) {
		add_forwards(h);
		adopt_control_state(h);
		sums_add(control, pty, h->state->sums);
		pty_handover_adopt(pty, h->state, &procs);
		adopt_watchers(h, watch, &watchers);
		timer_set_ms(&h->thaw, (uint64_t)thaw_s * 1000);
	} else {
		thaw_now(h);
	}
	pty_handover_reap_others(pty);
	snprintf(h->report, sizeof(h->report),
		 "{\"failed\":%s,\"procs\":%u,\"procs_failed\":%u,\"retained\":%u,"
		 "\"retained_failed\":%u,\"watchers\":%u,\"watchers_failed\":%u}",
		 h->failed ? "true" : "false", procs.procs, procs.procs_failed, procs.retained,
		 procs.retained_failed, watchers.watchers, watchers.failed);
	control->handover = h->report;
	control->gate_closed = true;
	log_event(
		&(struct log_line){
			.level = LOG_LEVEL_INFO,
			.logger = "process",
			.event_type = "handover_resumed",
			LOG_FIELDS(LOG_TEXT("from_ver", h->state ? h->state->from_ver : NULL),
				   LOG_NUMBER("procs", procs.procs),
				   LOG_NUMBER("procs_failed", procs.procs_failed),
				   LOG_NUMBER("retained", procs.retained),
				   LOG_NUMBER("retained_failed", procs.retained_failed),
				   LOG_NUMBER("watchers", watchers.watchers),
				   LOG_NUMBER("watchers_failed", watchers.failed))},
		"handover from %s", h->state ? h->state->from_ver : "nobody");
	log_info("handover from %s: %s", h->state ? h->state->from_ver : "nobody", h->report);
	h->state = NULL;
	arena_clear(&h->arena);
}

void handover_clear(struct handover *h)
{
	if (h->loop)
		timer_cancel(&h->thaw);
	arena_clear(&h->arena);
}
