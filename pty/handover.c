/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "pty/cgroup/cgroup.h"
#include "pty/cgroup/cgroups.h"
#include "pty/output.h"
#include "pty/proc_log.h"
#include "pty/rpc.h"
#include "pty/start_key.h"
#include "pty/store.h"
#include "rpc/codec/codec.h"
#include "rpc/context.h"

/* Types of cgroups in the state (compatibility/upgrade). */
#define TYPE_USER   "user"
#define TYPE_PTY    "pty"
#define TYPE_SYSTEM "system"

/* Descriptors of an adopted process are moved to numbers from here up. */
#define FIRST_FD 3

#define STATE_MAX_MS INT64_C(9999999999)

/* More than the pids of four million children, the kernel's maximum. */
#define CHILDREN_MAX_BYTES (32u * 1024 * 1024)

void pty_handover_pause(struct pty_service *svc, bool pause)
{
	struct proc *p;

	svc->table.paused = pause;
	TAILQ_FOREACH (p, &svc->table.live, link)
		proc_update(p);
}

/* ---- export ---- */

static int output_fd(const struct proc *p, enum output_kind kind)
{
	unsigned i;

	for (i = 0; i < p->n_outputs; i++)
		if (p->outputs[i].kind == kind)
			return p->outputs[i].fd;
	return -1;
}

static uint64_t output_bytes(const struct proc *p, enum output_kind kind)
{
	unsigned i;

	for (i = 0; i < p->n_outputs; i++)
		if (p->outputs[i].kind == kind)
			return p->outputs[i].total_bytes;
	return 0;
}

static const char *group_type(const struct proc *p)
{
	if (p->tag && strcmp(p->tag, PTY_SYSTEM_TAG) == 0)
		return TYPE_SYSTEM;
	return p->is_pty ? TYPE_PTY : TYPE_USER;
}

/* Returns the time until the deadline; 0: there is none; 1: it has passed. */
static int64_t deadline_left_ms(const struct proc *p, uint64_t now)
{
	if (p->deadline_passed)
		return 1;
	if (p->adopted_deadline_ms)
		return (int64_t)p->adopted_deadline_ms;
	if (!p->deadline_ms)
		return 0;
	return p->deadline_ms > now + 1 ? (int64_t)(p->deadline_ms - now) : 1;
}

/* The pieces are borrowed from the ring. NULL stays NULL. */
static Handover__Kept *export_kept(const struct kept *kept, struct arena *arena)
{
	static const uint64_t from_start[OUTPUT_KINDS];
	Handover__Kept *out;
	struct kept_cursor cursor;
	Handover__KeptPiece *piece;
	enum output_kind kind;
	const uint8_t *data;
	size_t n, count = 0;

	if (!kept)
		return NULL;
	out = arena_zalloc(arena, sizeof(*out));
	handover__kept__init(out);
	out->max_bytes = kept->max_bytes;
	out->n_first_offset = OUTPUT_KINDS;
	out->first_offset = arena_zalloc(arena, sizeof(kept->first_offset));
	memcpy(out->first_offset, kept->first_offset, sizeof(kept->first_offset));
	kept_begin(kept, from_start, &cursor);
	while (kept_next(kept, &cursor, SIZE_MAX, &kind, &data, &n) == 1)
		count++;
	out->pieces = arena_zalloc(arena, (count + 1) * sizeof(out->pieces[0]));
	kept_begin(kept, from_start, &cursor);
	while (kept_next(kept, &cursor, SIZE_MAX, &kind, &data, &n) == 1) {
		piece = arena_zalloc(arena, sizeof(*piece));
		handover__kept_piece__init(piece);
		piece->output = (uint32_t)kind;
		piece->data = (ProtobufCBinaryData){n, (uint8_t *)(uintptr_t)data};
		out->pieces[out->n_pieces++] = piece;
	}
	return out;
}

/* The text of the key, "" without one; and the digest. Both are borrowed. */
static const char *export_start_key(const struct start_key *key, ProtobufCBinaryData *ret_request)
{
	if (!key)
		return "";
	*ret_request = (ProtobufCBinaryData){START_KEY_DIGEST, (uint8_t *)(uintptr_t)key->request};
	return key->text;
}

Handover__HandoverProc *pty_handover_describe(const struct proc *p, struct arena *arena)
{
	uint64_t now = clock_monotonic_ms();
	Handover__HandoverProc *out = arena_zalloc(arena, sizeof(*out));
	ProtobufCMessage *config;
	struct error err;

	handover__handover_proc__init(out);
	out->pid = (uint32_t)p->pid;
	out->has_tag = p->tag != NULL;
	if (p->tag)
		out->tag = p->tag;
	out->cg_type = group_type(p);
	if (codec_decode(RPC_CODEC_PROTO, &process__process_config__descriptor, p->config,
			 p->config_bytes, ERROR_INVALID_ARGUMENT, arena, &config, &err) == 0)
		out->config = (Process__ProcessConfig *)config;
	out->stdout_fd = output_fd(p, OUTPUT_STDOUT);
	out->stderr_fd = output_fd(p, OUTPUT_STDERR);
	out->stdin_fd = p->is_pty ? -1 : p->input.fd;
	out->tty_fd = output_fd(p, OUTPUT_PTY);
	out->timeout_ms = deadline_left_ms(p, now);
	out->kill_scope = (uint32_t)p->scope + 1;
	if (p->cgroup && p->cgroup->made)
		out->cgroup = p->cgroup->name;
	out->stdout_bytes = output_bytes(p, OUTPUT_STDOUT);
	out->stderr_bytes = output_bytes(p, OUTPUT_STDERR);
	out->pty_bytes = output_bytes(p, OUTPUT_PTY);
	out->age_ms = now - p->started_ms;
	out->operation = p->request.operation;
	if (p->request.traceparent)
		out->traceparent = p->request.traceparent;
	if (p->request.tracestate)
		out->tracestate = p->request.tracestate;
	out->keep_for_ms = p->keep_for_ms;
	out->not_child = p->not_child;
	out->ends_with_leader = p->ends_with_leader;
	out->explains_end = p->explains_end;
	out->killed = p->killed;
	out->kept = export_kept(p->kept, arena);
	out->start_key = export_start_key(p->start_key, &out->start_key_request);
	return out;
}

static Handover__HandoverExit *export_exit(const struct retained_exit *exit, struct arena *arena,
					   uint64_t now)
{
	Handover__HandoverExit *out = arena_zalloc(arena, sizeof(*out));
	struct exit_status_text *text = arena_zalloc(arena, sizeof(*text));

	handover__handover_exit__init(out);
	out->pid = (uint32_t)exit->pid;
	out->has_tag = exit->tag != NULL;
	if (exit->tag)
		out->tag = exit->tag;
	out->end = arena_zalloc(arena, sizeof(*out->end));
	exit_status_event(&exit->exit_status, true, text, out->end);
	out->remaining_ms = exit->until_ms > now ? (int64_t)(exit->until_ms - now) : 0;
	out->is_pty = exit->is_pty;
	out->stdout_bytes = exit->total_bytes[OUTPUT_STDOUT];
	out->stderr_bytes = exit->total_bytes[OUTPUT_STDERR];
	out->pty_bytes = exit->total_bytes[OUTPUT_PTY];
	out->kept = export_kept(exit->kept, arena);
	out->start_key = export_start_key(exit->start_key, &out->start_key_request);
	return out;
}

/* Adds the OOM kills of each group that counts them. */
static void export_oom(struct cgroups *cgroups, struct arena *arena, Handover__HandoverState *state)
{
	Handover__OomKills *out;
	struct oom_count count;
	enum cgroup_group group;

	state->oom_kills = arena_zalloc(arena, CGROUP_GROUPS * sizeof(state->oom_kills[0]));
	for (group = 0; cgroups && group < CGROUP_GROUPS; group++) {
		cgroups_oom_count(cgroups, group, &count);
		if (!count.known)
			continue;
		out = arena_zalloc(arena, sizeof(*out));
		handover__oom_kills__init(out);
		out->group = cgroups_group_name(group);
		out->seen = count.seen;
		out->unclaimed = count.unclaimed;
		out->age_ms = clock_monotonic_ms() - count.grown_ms;
		state->oom_kills[state->n_oom_kills++] = out;
	}
}

void pty_handover_export(const struct pty_service *svc, struct arena *arena,
			 Handover__HandoverState *state)
{
	const struct proc_table *t = &svc->table;
	uint64_t now = clock_monotonic_ms();
	const struct retained_exit *exit;
	const struct proc *p;

	state->processes = arena_zalloc(arena, (t->n_live + 1) * sizeof(state->processes[0]));
	TAILQ_FOREACH (p, &t->live, link)
		state->processes[state->n_processes++] = pty_handover_describe(p, arena);
	state->terminated = arena_zalloc(arena, (t->n_retained + 1) * sizeof(state->terminated[0]));
	TAILQ_FOREACH (exit, &t->retained, link)
		state->terminated[state->n_terminated++] = export_exit(exit, arena, now);
	TAILQ_FOREACH (exit, &t->timed, link)
		state->terminated[state->n_terminated++] = export_exit(exit, arena, now);
	state->n_helper_pids = t->zombies.n;
	state->helper_pids = arena_zalloc(arena, (t->zombies.n + 1) * sizeof(int32_t));
	zombies_pids(&t->zombies, state->helper_pids);
	state->n_discarded_fds = discards_fds(&t->discards, NULL);
	state->discarded_fds = arena_zalloc(arena, (state->n_discarded_fds + 1) * sizeof(int32_t));
	discards_fds(&t->discards, state->discarded_fds);
	export_oom(svc->cgroups, arena, state);
}

/* ---- adoption ---- */

/*
 * Moves an inherited descriptor to another number, because the numbers of a handover must be free
 * for the next one, and because a child that inherits a copy of stdin's write end would prevent
 * EOF. The result is close-on-exec and non-blocking; -1 if the descriptor is absent.
 */
static int take_descriptor(int fd, int *ret_errno)
{
	int taken;

	if (fd < FIRST_FD)
		return -1;
	taken = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD);
	if (taken < 0)
		*ret_errno = errno;
	else
		fd_set_nonblock(taken);
	close(fd);
	return taken;
}

/* Fills in the descriptors of a spawn as spawn_run would. 0 or -errno. */
static int take_descriptors(const Handover__HandoverProc *in, struct spawn *s)
{
	int failed = 0;

	s->pty = in->tty_fd >= FIRST_FD;
	s->stdout_fd = take_descriptor(s->pty ? in->tty_fd : in->stdout_fd, &failed);
	s->stderr_fd = take_descriptor(in->stderr_fd, &failed);
	s->stdin_fd = s->pty ? s->stdout_fd : take_descriptor(in->stdin_fd, &failed);
	if (s->pidfd < 0)
		s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
	if (s->pidfd < 0)
		failed = errno;
	return -failed;
}

static void drop_descriptors(struct spawn *s)
{
	fd_close(&s->pidfd);
	fd_close(&s->stderr_fd);
	if (s->stdin_fd != s->stdout_fd)
		fd_close(&s->stdin_fd);
	fd_close(&s->stdout_fd);
}

/*
 * Returns the scope of a KILL. A process of the reference shares the daemon's session and cgroup,
 * so killing either would end the daemon: such a process is killed alone.
 */
static enum kill_scope safe_scope(const struct pty_service *svc, const Handover__HandoverProc *in,
				  const struct cgroup *cgroup)
{
	enum kill_scope scope = svc->kill_scope;

	if (in->kill_scope > 0 && in->kill_scope - 1 <= KILL_SCOPE_TREE)
		scope = (enum kill_scope)(in->kill_scope - 1);
	if (scope == KILL_SCOPE_TREE && !cgroup)
		scope = KILL_SCOPE_SESSION;
	if (scope == KILL_SCOPE_SESSION && getsid((pid_t)in->pid) != (pid_t)in->pid)
		scope = KILL_SCOPE_LEADER;
	return scope;
}

/*
 * Returns true if the pid is a child of this daemon, running or a zombie. Needed because the state
 * could contain any pid.
 */
static bool is_child(pid_t pid)
{
	siginfo_t info;

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* Limits a time from the state to 115 days, the maximum of Connect-Timeout-Ms. */
static uint64_t bounded_ms(int64_t ms)
{
	return ms <= 0 ? 0 : ms < STATE_MAX_MS ? (uint64_t)ms : STATE_MAX_MS;
}

static void restore_counts(struct proc *p, const Handover__HandoverProc *in)
{
	const struct log_request request = {
		.operation = in->operation,
		.traceparent = *in->traceparent ? in->traceparent : NULL,
		.tracestate = *in->traceparent && *in->tracestate ? in->tracestate : NULL,
	};
	unsigned i;

	for (i = 0; i < p->n_outputs; i++)
		p->outputs[i].total_bytes = p->outputs[i].kind == OUTPUT_PTY ? in->pty_bytes
					    : p->outputs[i].kind == OUTPUT_STDOUT
						    ? in->stdout_bytes
						    : in->stderr_bytes;
	p->started_ms -= in->age_ms < p->started_ms ? in->age_ms : p->started_ms;
	proc_set_request(p, &request);
	p->adopted_deadline_ms = bounded_ms(in->timeout_ms);
}

/* Restores the kept output. NULL if there was none. */
static struct kept *restore_kept(struct pty_service *svc, const Handover__Kept *in)
{
	uint64_t offsets[OUTPUT_KINDS] = {0};
	const Handover__KeptPiece *piece;
	struct kept *kept;
	size_t i;

	if (!in || in->max_bytes == 0)
		return NULL;
	/* A later version may allow more. */
	kept = kept_new(&svc->context->budget,
			in->max_bytes < KEPT_MAX_BYTES ? in->max_bytes : KEPT_MAX_BYTES);
	for (i = 0; i < in->n_first_offset && i < OUTPUT_KINDS; i++)
		offsets[i] = in->first_offset[i];
	kept_set_offsets(kept, offsets);
	for (i = 0; i < in->n_pieces; i++) {
		piece = in->pieces[i];
		if (piece->output < OUTPUT_KINDS && piece->data.len)
			kept_add(kept, (enum output_kind)piece->output, piece->data.data,
				 piece->data.len, false);
	}
	return kept;
}

/*
 * After an upgrade: replaces the descriptors that the parent keeps under these names, if it keeps
 * any. After a crash it keeps them already. To replace them then would lose the process if the
 * daemon is killed between the two messages.
 */
static void put_again(struct proc *p)
{
	pty_store_drop_stdin(p);
	pty_store_drop(p);
	pty_store_put(p);
}

int pty_handover_adopt_one(struct pty_service *svc, Handover__HandoverProc *in, int pidfd)
{
	struct budget *budget = &svc->context->budget;
	Process__StartRequest request;
	struct budget_share share;
	struct cgroup *cgroup = NULL;
	struct spawn s;
	struct proc *p;
	int r;

	spawn_prepare(&s);
	s.pid = (pid_t)in->pid;
	s.pidfd = pidfd;
	r = take_descriptors(in, &s);
	if (r == 0 && pidfd < 0 && !in->not_child && !is_child(s.pid))
		r = -ECHILD;
	if (r == 0 && proc_table_find(&svc->table, s.pid))
		r = -EEXIST;
	if (s.pid < 2 || s.pid == getpid())
		r = -ESRCH;
	if (r < 0) {
		log_error("handover: process %u is not adopted: %s", in->pid, error_errno_text(r));
		drop_descriptors(&s);
		return -1;
	}
	/* The other daemon may have had a higher limit, and the process runs already. */
	budget_force(budget, BUDGET_PROCESSES, 1);
	process__start_request__init(&request);
	request.process = in->config;
	if (in->has_tag) {
		request.opt_tag_case = PROCESS__START_REQUEST__OPT_TAG_TAG;
		request.tag = in->tag;
	}
	/* The previous daemon had charged this memory; there is no request from a peer. */
	budget_share_init(&share, budget, BUDGET_CLASS_PROCESSES);
	if (!budget_share_take(
		    &share,
		    sizeof(*p) + strlen(in->traceparent) + strlen(in->tracestate) +
			    (in->config ? protobuf_c_message_get_packed_size(&in->config->base)
					: 0)))
		log_warn("handover: the memory of process %u is not charged", in->pid);
	if (*in->cgroup)
		cgroup = cgroup_adopt(svc->cgroups, s.pty ? CGROUP_PTYS : CGROUP_USER, in->cgroup);
	p = proc_new(&svc->table, svc->context, &s, cgroup, &request, safe_scope(svc, in, cgroup),
		     &share);
	restore_counts(p, in);
	p->kept = restore_kept(svc, in->kept);
	p->keep_for_ms = bounded_ms((int64_t)in->keep_for_ms);
	p->not_child = pidfd >= 0 || in->not_child;
	p->ends_with_leader = in->ends_with_leader;
	p->explains_end = in->explains_end;
	p->killed = in->killed;
	p->start_key = start_key_restore(&svc->start_keys, in->start_key,
					 in->start_key_request.data, in->start_key_request.len);
	start_key_run(p->start_key, p);
	p->readopted = true;
	proc_log_readopted(p);
	pty_store_assume(p);
	if (pidfd < 0)
		put_again(p);
	proc_pump(p);
	return 0;
}

static int adopt_exit(struct pty_service *svc, const Handover__HandoverExit *in)
{
	struct exit_status status = {0};
	struct retained_exit *exit;

	if (!in->end || in->remaining_ms <= 0 || exit_status_parse(in->end, &status) < 0)
		return -1;
	if (proc_table_find(&svc->table, (pid_t)in->pid))
		return 0;
	exit = proc_table_retain(&svc->table, (pid_t)in->pid, in->has_tag ? in->tag : NULL, &status,
				 bounded_ms(in->remaining_ms));
	exit->is_pty = in->is_pty;
	exit->total_bytes[OUTPUT_STDOUT] = in->stdout_bytes;
	exit->total_bytes[OUTPUT_STDERR] = in->stderr_bytes;
	exit->total_bytes[OUTPUT_PTY] = in->pty_bytes;
	exit->kept = restore_kept(svc, in->kept);
	if (exit->kept)
		kept_trim(exit->kept);
	exit->start_key = start_key_restore(&svc->start_keys, in->start_key,
					    in->start_key_request.data, in->start_key_request.len);
	start_key_end(exit->start_key, exit);
	return 0;
}

/* Takes over a child of the previous daemon that must only be reaped. */
static void adopt_helper(struct pty_service *svc, pid_t pid)
{
	int pidfd = -1;

	if (pid > 1 && is_child(pid) && !proc_table_find(&svc->table, pid) &&
	    !zombies_have(&svc->table.zombies, pid))
		pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return;
	budget_force(&svc->context->budget, BUDGET_PROCESSES, 1);
	zombies_await(&svc->table.zombies, pid, pidfd);
}

void pty_handover_reap_others(struct pty_service *svc)
{
	char path[64], *text = NULL, *at, *end;
	size_t n;
	long pid;

	/* After an execve(2), all children are those of the only thread (proc_pid_children(5)). */
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	if (fd_read_file(AT_FDCWD, path, CHILDREN_MAX_BYTES, &text, &n) < 0)
		return;
	for (at = text; (pid = strtol(at, &end, 10)) > 0 && end != at; at = end)
		adopt_helper(svc, (pid_t)pid);
	free(text);
}

static void adopt_oom(struct cgroups *cgroups, const Handover__OomKills *in)
{
	enum cgroup_group group;

	for (group = 0; cgroups && group < CGROUP_GROUPS; group++)
		if (strcmp(cgroups_group_name(group), in->group) == 0)
			cgroups_continue_oom(cgroups, group, in->seen, in->unclaimed, in->age_ms);
}

static void adopt_discarded(struct pty_service *svc, int32_t in)
{
	int failed, fd = take_descriptor(in, &failed);

	if (fd >= 0)
		discards_add(&svc->table.discards, fd);
}

void pty_handover_adopt(struct pty_service *svc, const Handover__HandoverState *state,
			struct pty_adopted *ret)
{
	size_t i;

	/* Before the processes: one of them may have been an OOM kill. */
	for (i = 0; i < state->n_oom_kills; i++)
		adopt_oom(svc->cgroups, state->oom_kills[i]);
	/* Before the processes: one of them may have the pid of one that has ended. */
	pty_store_drop_names(svc, state->store_removals, state->n_store_removals);
	*ret = (struct pty_adopted){0};
	for (i = 0; i < state->n_processes; i++, ret->procs++)
		ret->procs_failed += pty_handover_adopt_one(svc, state->processes[i], -1) < 0;
	for (i = 0; i < state->n_terminated; i++, ret->retained++)
		ret->retained_failed += adopt_exit(svc, state->terminated[i]) < 0;
	for (i = 0; i < state->n_helper_pids; i++)
		adopt_helper(svc, state->helper_pids[i]);
	for (i = 0; i < state->n_discarded_fds; i++)
		adopt_discarded(svc, state->discarded_fds[i]);
}

void pty_handover_start_deadlines(struct pty_service *svc)
{
	struct proc *p, *next;
	uint64_t left_ms;

	for (p = TAILQ_FIRST(&svc->table.live); p; p = next) {
		next = TAILQ_NEXT(p, link);
		left_ms = p->adopted_deadline_ms;
		if (!left_ms)
			continue;
		p->adopted_deadline_ms = 0;
		proc_set_deadline(p, left_ms);
	}
}
