/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/daemon_impl.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "envd/boot/inherited.h"
#include "envd/control/auth.h"
#include "envd/control/ctl_ports.h"
#include "envd/control/freezer.h"
#include "envd/control/lifecycle.h"
#include "envd/control/log_export.h"
#include "envd/relay/port_forward.h"
#include "envd/relay/port_scan.h"
#include "envd/relay/port_watch.h"
#include "envd/upgrade/upgrade.h"
#include "fs/service.h"
#include "pty/cgroup/cgroups.h"
#include "pty/handover.h"
#include "pty/limits.h"
#include "pty/service.h"
#include "pty/store.h"
#include "rpc/http/server.h"
#include "watch/service.h"

/* Handles every line of the log: to stdout as JSON with -verbose, and to the platform. */
static void on_log_line(const struct log_line *line, void *arg)
{
	struct daemon *d = arg;
	char *json;

	if (d->options->verbose) {
		json = log_export_format(line);
		if (log_can_write(STDOUT_FILENO))
			fd_write_all(STDOUT_FILENO, json, strlen(json));
		free(json);
	}
	if (d->control.log_export)
		log_export_line(line, d->control.log_export);
}

static const char *read_token(void *arg, size_t *ret_bytes)
{
	return token_bytes(arg, ret_bytes);
}

int daemon_start_ports(struct daemon *d)
{
	const char *asked = d->options->forward_ip;
	uint32_t own[PORT_SCAN_MAX_OWN];
	struct port_watch_options options = {
		.young_since_ms = pty_service_last_start(d->pty),
		.own_inodes = own,
		.n_own_inodes = server_tcp_inodes(d->server, own, ARRAY_LEN(own)),
	};
	bool forwards = asked || !d->options->is_not_fc;
	struct error err;

	if (port_watch_new(&d->loop, &options, &d->port_watch, &err) == 0) {
		ports_set_watch(d->control.ports, d->port_watch);
		if (!forwards ||
		    port_forward_new(&d->loop, d->port_watch, asked ? asked : PORT_FORWARD_ADDRESS,
				     &d->port_forward, &err) == 0)
			return 0;
	}
	if (forwards)
		log_error("%s", err.message);
	return asked ? -1 : 0;
}

static void hold_starts(void *arg, bool hold)
{
	struct daemon *d = arg;

	pty_service_refuse_starts(d->pty, hold);
	if (!hold)
		pty_handover_start_deadlines(d->pty);
}

static bool is_starting(void *arg)
{
	const struct daemon *d = arg;

	return pty_service_starting(d->pty);
}

static void freeze_prepared(void *arg, uint64_t number)
{
	struct daemon *d = arg;

	freezer_prepared(d->freezer, number);
}

static void prepare_freeze(void *arg, uint64_t number)
{
	struct daemon *d = arg;

	lifecycle_before_freeze(d->control.resume, number, freeze_prepared, d);
}

/* Sets up cgroups if they are available; else logs the reason. */
static void start_cgroups(struct daemon *d)
{
	const struct options *o = d->options;

	if (o->no_cgroups)
		log_info("no cgroups: -no-cgroups");
	else
		d->cgroups = cgroups_new(&d->loop, d->context.kill_workers, o->cgroup_root,
					 o->process_accounting);
	d->freezer =
		freezer_new(&d->loop, d->cgroups ? d->cgroups->root_fd : -1, FREEZER_WATCHDOG_MS,
			    &(struct freezer_hooks){.hold = hold_starts,
						    .starting = is_starting,
						    .prepare = prepare_freeze,
						    .arg = d});
	freezer_set_spare(d->freezer, d->context.kill_workers);
	d->control.freezer = d->freezer;
	control_set_cgroups(&d->control, d->cgroups ? d->cgroups->root_fd : -1);
}

static bool gate_is_closed(void *arg)
{
	const struct control *control = arg;

	return control->gate_closed && !control->initialized && !token_is_set(&control->token);
}

/*
 * Opens the state directory. If that fails, the daemon does not know whether a token was set. It
 * behaves as if one were, because the directory is there so that a crash opens nothing.
 */
static void open_state_dir(struct daemon *d)
{
	struct error err;

	if (d->options->state_dir &&
	    token_open_marker(&d->control.token, d->options->state_dir, &err) < 0)
		log_error("locked, no token opens this daemon: %s", err.message);
	else if (d->control.token.locked)
		log_info("locked: a token was set before this start");
}

static bool store_put(void *arg, const char *name, const int *fds, size_t n)
{
	struct daemon *d = arg;

	return notify_store(&d->notify, name, fds, n);
}

static void store_has_room(void *arg)
{
	struct daemon *d = arg;

	pty_store_resume(d->pty);
}

static void store_drop(void *arg, const char *name)
{
	struct daemon *d = arg;

	notify_drop(&d->notify, name);
}

/*
 * Connects the store: a parent that keeps the descriptors of processes across a crash. It is
 * process 1 of -init, or a service manager whose unit names a state directory
 * (systemd/envd.service). The processes survive a crash even if the directory is refused: the
 * daemon is then locked, so nobody reaches them without a token.
 */
static void connect_store(struct daemon *d)
{
	if (d->notify.fd < 0 || !(d->notify.is_connected || d->options->state_dir))
		return;
	pty_service_set_store(d->pty,
			      &(struct pty_store){.put = store_put, .drop = store_drop, .arg = d});
	notify_on_room(&d->notify, store_has_room, d);
}

void daemon_adopt_stored(struct daemon *d)
{
	const struct inherited *set = d->inherited;
	const char **names = mem_alloc((set->n_stored + 1) * sizeof(*names));
	int *fds = mem_alloc((set->n_stored + 1) * sizeof(*fds));
	size_t i;

	for (i = 0; i < set->n_stored; i++) {
		names[i] = set->stored[i].name;
		fds[i] = set->stored[i].fd;
	}
	if (set->n_stored)
		log_info("%u processes outlived the daemon before this one",
			 pty_store_adopt(d->pty, fds, names, set->n_stored));
	free(fds);
	free(names);
}

void daemon_start_services(struct daemon *d)
{
	struct fs_auth fs_auth = {.token = read_token, .arg = &d->control.token};
	enum kill_scope scope;
	struct limits limits;
	struct error err;

	control_init(&d->control, &d->context, d->server, d->options->is_not_fc);
	open_state_dir(d);
	lifecycle_set_hooks(d->control.resume, d->options->hooks_dir,
			    d->options->hook_timeout_s * 1000);
	d->gate.token_allows = auth_allows;
	d->gate.token_arg = &d->control.token;
	if (d->options->verbose || d->control.log_export)
		log_set_sink(on_log_line, d);
	control_register(&d->control, d->router);
	start_cgroups(d);
	d->fs = fs_service_new(&d->context, &fs_auth);
	fs_service_set_keep_owner(d->fs, d->options->keep_owner);
	fs_service_register(d->fs, d->router);
	d->control.pty = d->pty = pty_service_new(&d->context, d->cgroups);
	if (kill_scope_parse(d->options->kill_scope, &scope) == 0)
		pty_service_set_kill_scope(d->pty, scope);
	pty_service_set_seccomp(d->pty, d->profiles, d->options->no_new_privs);
	if (limits_parse(d->options->limits, "-limits", &limits, &err) == 0)
		pty_service_set_limits(d->pty, &limits);
	connect_store(d);
	pty_service_register(d->pty, d->router);
	d->watch = watch_service_new(&d->context);
	watch_service_register(d->watch, d->router);
	d->gate.is_closed = gate_is_closed;
	d->gate.closed_arg = &d->control;
	d->upgrade = upgrade_new(
		&(struct upgrade_parts){
			.control = &d->control,
			.pty = d->pty,
			.watch = d->watch,
			.notify = &d->notify,
			.options = d->options,
			.audit = d->audit,
			.sockets_are_held = d->inherited->held,
		},
		d->router);
}
