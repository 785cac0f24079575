/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/upgrade/image.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "envd/boot/inherited.h"
#include "envd/boot/notify.h"
#include "envd/control/control.h"
#include "envd/control/freezer.h"
#include "envd/control/volumes.h"
#include "envd/upgrade/exec_blocker.h"
#include "envd/upgrade/handover.h"
#include "envd/upgrade/sums.h"
#include "envd/version.h"
#include "handover.pb-c.h"
#include "pty/handover.h"
#include "pty/spawn.h"
#include "pty/store.h"
#include "rpc/context.h"
#include "rpc/http/server.h"
#include "watch/handover.h"

/* Schemas of the state, as the reference's readers know them (compatibility/upgrade). */
#define SCHEMA_PLAIN  1
#define SCHEMA_FROZEN 2 /* has guest_frozen_cgroups: an older reader would thaw those */

/* The descriptors that were placed for the new program. */
struct placed {
	int *fds;
	size_t n, room;
};

static void placed_clear(struct placed *placed)
{
	while (placed->n > 0)
		fd_close(&placed->fds[--placed->n]);
	free(placed->fds);
}

/* Replaces *fd by a duplicate without close-on-exec. -1 means absent, and stays. 0 or -errno. */
static int place(struct placed *placed, int32_t *fd)
{
	int duplicate;

	if (*fd < 0)
		return 0;
	duplicate = fcntl(*fd, F_DUPFD, UPGRADE_FIRST_FD);
	if (duplicate < 0)
		return -errno;
	if (placed->n == placed->room) {
		placed->room = placed->room ? placed->room * 2 : 64;
		placed->fds = mem_realloc(placed->fds, placed->room * sizeof(int));
	}
	placed->fds[placed->n++] = duplicate;
	*fd = duplicate;
	return 0;
}

static int place_processes(struct placed *placed, Handover__HandoverState *state, bool ours)
{
	Handover__HandoverProc *p;
	size_t i;
	int r = 0;

	for (i = 0; i < state->n_processes && r == 0; i++) {
		p = state->processes[i];
		r = place(placed, &p->stdout_fd);
		r = r == 0 ? place(placed, &p->stderr_fd) : r;
		r = r == 0 ? place(placed, &p->stdin_fd) : r;
		r = r == 0 ? place(placed, &p->tty_fd) : r;
	}
	/* The reference would not read these outputs: their writers would block instead of end. */
	if (!ours)
		state->n_discarded_fds = 0;
	for (i = 0; i < state->n_discarded_fds && r == 0; i++)
		r = place(placed, &state->discarded_fds[i]);
	return r;
}

/* ---- the state ---- */

struct mount_list {
	Handover__HandoverState *state;
	struct arena *arena;
	size_t room;
};

static void add_mount(void *arg, const char *path, const char *lifecycle)
{
	struct mount_list *list = arg;
	Handover__MountEntry *entry = arena_zalloc(list->arena, sizeof(*entry));
	Handover__MountEntry **grown;

	handover__mount_entry__init(entry);
	entry->path = arena_strdup(list->arena, path);
	entry->lifecycle_id = arena_strdup(list->arena, lifecycle);
	if (list->state->n_mounts == list->room) {
		list->room = list->room * 2 + 16;
		grown = arena_zalloc(list->arena, list->room * sizeof(*grown));
		if (list->state->n_mounts)
			memcpy(grown, list->state->mounts, list->state->n_mounts * sizeof(*grown));
		list->state->mounts = grown;
	}
	list->state->mounts[list->state->n_mounts++] = entry;
}

/* The variables that /init has set. The new daemon makes its own again. */
static void add_variables(const struct context *context, struct arena *arena,
			  Handover__HandoverState *state)
{
	Handover__EnvVar *var;
	size_t i;

	state->envs = arena_zalloc(arena, (context->n_env + 1) * sizeof(state->envs[0]));
	for (i = 0; i < context->n_env; i++) {
		if (context->env[i].internal)
			continue;
		var = arena_zalloc(arena, sizeof(*var));
		handover__env_var__init(var);
		var->name = context->env[i].name;
		var->value = context->env[i].value;
		state->envs[state->n_envs++] = var;
	}
}

/*
 * The user and the directory that an /init delivered. The reference stamps schema 3 for them, and a
 * reader that knows only schema 2 then refuses the whole handover: the sandbox is lost. This writer
 * keeps the lower stamp. Readers of schema 3 use the field whatever the stamp says; older readers
 * lose the defaults alone.
 */
static void add_defaults(const struct context *context, struct arena *arena,
			 Handover__HandoverState *state)
{
	if (!context->user_delivered && !context->default_workdir)
		return;
	state->defaults = arena_zalloc(arena, sizeof(*state->defaults));
	handover__handover_defaults__init(state->defaults);
	if (context->user_delivered)
		state->defaults->user = context->default_user;
	if (!context->default_workdir)
		return;
	state->defaults->workdir = context->default_workdir;
	state->defaults->has_workdir = true;
}

static void collect(const struct upgrade_parts *parts, struct arena *arena,
		    Handover__HandoverState *state)
{
	struct control *control = parts->control;
	struct mount_list mounts = {.state = state, .arena = arena};
	char *const *guest;

	handover__handover_state__init(state);
	state->from_ver = arena_strdup(arena, version_reported());
	pty_handover_export(parts->pty, arena, state);
	watch_handover_export(parts->watch, arena, state);
	volumes_each(control->volumes, add_mount, &mounts);
	state->n_guest_frozen_cgroups = freezer_guest_paths(control->freezer, &guest);
	state->guest_frozen_cgroups = (const char **)(uintptr_t)guest;
	state->schema = state->n_guest_frozen_cgroups ? SCHEMA_FROZEN : SCHEMA_PLAIN;
	add_defaults(control->context, arena, state);
	add_variables(control->context, arena, state);
	if (control->lifecycle)
		state->lifecycle_id = control->lifecycle;
	state->sums = sums_export(control, arena);
	state->newest_init_ns = control->has_newest ? control->newest_ns : 0;
	state->n_store_removals = notify_removals(parts->notify, NULL);
	state->store_removals = arena_zalloc(arena, (state->n_store_removals + 1) *
							    sizeof(state->store_removals[0]));
	notify_removals(parts->notify, state->store_removals);
}

/* A buffer for protobuf-c that writes to a file, because the state may have much kept output. */
struct file_buffer {
	ProtobufCBuffer base;
	int fd;
	int result; /* 0 or -errno */
	size_t n;
	uint8_t data[16384];
};

static void flush(struct file_buffer *buffer, const void *data, size_t n)
{
	if (buffer->result == 0)
		buffer->result = fd_write_all(buffer->fd, data, n);
}

static void append(ProtobufCBuffer *base, size_t n, const uint8_t *data)
{
	struct file_buffer *buffer = container_of(base, struct file_buffer, base);

	if (n > sizeof(buffer->data) - buffer->n) {
		flush(buffer, buffer->data, buffer->n);
		buffer->n = 0;
	}
	if (n > sizeof(buffer->data)) {
		flush(buffer, data, n);
	} else {
		memcpy(buffer->data + buffer->n, data, n);
		buffer->n += n;
	}
}

static int write_state(int fd, const Handover__HandoverState *state, struct error *err)
{
	struct file_buffer buffer = {.base.append = append, .fd = fd};
	size_t n = protobuf_c_message_get_packed_size(&state->base);

	/* The new program would refuse the file and lose the processes. */
	if (n > HANDOVER_MAX_BYTES)
		return error_set(err, ERROR_RESOURCE_EXHAUSTED,
				 "the handover state has %zu bytes, more than %u", n,
				 HANDOVER_MAX_BYTES);
	protobuf_c_message_pack_to_buffer(&state->base, &buffer.base);
	flush(&buffer, buffer.data, buffer.n);
	if (buffer.result < 0)
		return error_set_errno(err, ERROR_INTERNAL, buffer.result, "write handover state");
	return 0;
}

/* ---- what a new program inherits besides descriptors ---- */

/*
 * Sets ignored signals to their default, because execve(2) would keep them ignored. Returns the set
 * of these signals, which the caller ignores again if the exec fails.
 */
static sigset_t default_ignored_signals(void)
{
	struct sigaction action;
	sigset_t ignored;
	int number;

	sigemptyset(&ignored);
	for (number = 1; number <= SIGRTMAX; number++) {
		if (sigaction(number, NULL, &action) < 0 || action.sa_handler != SIG_IGN)
			continue;
		sigaddset(&ignored, number);
		signal(number, SIG_DFL);
	}
	return ignored;
}

static void ignore_signals_again(const sigset_t *ignored)
{
	int number;

	for (number = 1; number <= SIGRTMAX; number++)
		if (sigismember(ignored, number) == 1)
			signal(number, SIG_IGN);
}

/* The reference starts with the mask that it inherits. *ret: the mask before. */
static void unblock_signals(sigset_t *ret)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, ret);
}

/* A build of envd gets the listening sockets too, so that no client is refused meanwhile. */
static int pass_listeners(const struct upgrade_parts *parts, struct placed *placed)
{
	char text[INHERITED_MAX * 12 + sizeof(INHERITED_HELD)];
	int fds[INHERITED_MAX], i, n;
	size_t at;

	n = server_dup_listeners(parts->control->server, UPGRADE_FIRST_FD, fds, INHERITED_MAX);
	if (n < 0)
		return n;
	placed->fds = mem_realloc(placed->fds, (placed->n + (size_t)n + 1) * sizeof(int));
	placed->room = placed->n + (size_t)n + 1;
	at = (size_t)snprintf(text, sizeof(text), "%s",
			      parts->sockets_are_held ? INHERITED_HELD : "");
	for (i = 0; i < n; i++) {
		placed->fds[placed->n++] = fds[i];
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%d", i ? "," : "", fds[i]);
	}
	setenv(INHERITED_VARIABLE, text, 1);
	return 0;
}

/* Executes the program. Returns -errno if that failed, with everything as before. */
static int execute(const struct upgrade_parts *parts, const struct image *image)
{
	extern char **environ;
	struct rlimit files, original;
	sigset_t ignored, blocked;
	int r;

	if (image->ours) {
		notify_restore_environment(parts->notify);
	} else {
		/*
		 * The reference sends no watchdog messages. It leaves descriptors in the parent's
		 * store, where the stdin of a process would stay open for good.
		 */
		notify_stop_watchdog(parts->notify);
		pty_store_drop_all(parts->pty);
	}
	/* The new program raises the limit itself. Descriptors above the soft limit stay open. */
	getrlimit(RLIMIT_NOFILE, &files);
	spawn_original_nofile(&original);
	setrlimit(RLIMIT_NOFILE, &original);
	ignored = default_ignored_signals();
	if (!image->ours)
		unblock_signals(&blocked);
	execve(image->path, image->argv, environ);
	r = -errno;
	if (!image->ours)
		sigprocmask(SIG_SETMASK, &blocked, NULL);
	ignore_signals_again(&ignored);
	if (!image->ours)
		pty_store_put_all(parts->pty);
	setrlimit(RLIMIT_NOFILE, &files);
	notify_clear_environment(parts->notify);
	return r;
}

int image_execute(const struct upgrade_parts *parts, const struct image *image, struct error *err)
{
	Handover__HandoverState state;
	struct placed placed = {0};
	struct arena arena = {0};
	const char *why;
	int r;

	collect(parts, &arena, &state);
	r = place_processes(&placed, &state, image->ours);
	if (r == 0 && image->ours)
		r = pass_listeners(parts, &placed);
	if (r < 0) {
		error_set_errno(err, ERROR_INTERNAL, r, "relocate handover fds");
	} else if (write_state(image->blob_fd, &state, err) == 0) {
		why = exec_blocker();
		r = why ? error_set(err, ERROR_ABORTED, "handover aborted: %s", why)
			: execute(parts, image);
		if (!why)
			error_set_errno(err, ERROR_INTERNAL, r, "execve %s", image->path);
	}
	unsetenv(INHERITED_VARIABLE);
	placed_clear(&placed);
	arena_clear(&arena);
	return -1;
}
