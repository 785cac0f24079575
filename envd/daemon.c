/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/work.h"
#include "envd/boot/inherited.h"
#include "envd/boot/notify.h"
#include "envd/boot/pid1.h"
#include "envd/boot/process.h"
#include "envd/boot/rights.h"
#include "envd/control/audit.h"
#include "envd/control/auth.h"
#include "envd/control/control.h"
#include "envd/control/ctl_ports.h"
#include "envd/control/freezer.h"
#include "envd/control/lifecycle.h"
#include "envd/control/log_export.h"
#include "envd/gate.h"
#include "envd/listeners.h"
#include "envd/options.h"
#include "envd/relay/port_forward.h"
#include "envd/relay/port_scan.h"
#include "envd/relay/port_watch.h"
#include "envd/upgrade/handover.h"
#include "envd/upgrade/upgrade.h"
#include "fs/service.h"
#include "pty/cgroup/cgroups.h"
#include "pty/handover.h"
#include "pty/limits.h"
#include "pty/seccomp/profiles.h"
#include "pty/service.h"
#include "pty/spawn.h"
#include "pty/store.h"
#include "rpc/context.h"
#include "rpc/http/router.h"
#include "rpc/http/server.h"
#include "watch/service.h"

/*
 * For calls that may hang on a guest's file system, and for clones, which may hang on its programs.
 */
#define FILE_WORKERS	 64
#define FILE_PATIENCE_US 1000
#define PROCESS_WORKERS	 64

/*
 * For KILLs, and for creating and removing cgroups, which do not block; and for freezes and thaws
 * while the kernel refuses threads.
 */
#define KILL_WORKERS 4

/* For decoding large messages and compressing responses: CPU work, which does not block. */
#define CODEC_WORKERS 2

/* The most that the end waits for the audit stream's last lines. */
#define AUDIT_END_MS 1000

/* After SIGTERM, the remaining connections are closed after this time. */
#define SHUTDOWN_MS 5000

/*
 * Sanitizer builds free all parts before they exit, so that the leak check reports every block that
 * no part frees. A release build leaves that to the kernel: a worker that hangs on a dead mount
 * would delay the exit.
 */
#ifdef __SANITIZE_ADDRESS__
#define FREES_AT_EXIT true
#else
#define FREES_AT_EXIT false
#endif

#define END_MAX_MS  2000
#define END_STEP_MS 10

struct daemon {
	const struct options *options;
	struct loop loop;
	struct context context;
	struct gate gate;
	struct control control;
	struct port_watch *port_watch;	   /* NULL: the kernel has no sock_diag */
	struct port_forward *port_forward; /* NULL where it is off */
	struct router *router;
	struct workers *codec_workers;
	struct server *server;
	struct fs_service *fs;
	struct cgroups *cgroups; /* NULL where there are none */
	struct freezer *freezer;
	struct seccomp_profiles *profiles;
	struct pty_service *pty;
	struct watch_service *watch;

	struct event on_term, on_int, on_usr1;
	struct event on_usr2; /* if there is an audit stream */
	struct audit *audit;  /* NULL: none */
	struct timer shutdown_timer;
	struct listeners listeners;
	struct notify notify;
	const struct inherited *inherited;
	struct handover handover; /* with -resume-handover */
	struct upgrade *upgrade;
	bool ending;
};

/* ---- signals ---- */

static void audit_written(void *arg)
{
	struct daemon *d = arg;

	loop_stop(&d->loop);
}

static void stop_loop(void *arg)
{
	struct daemon *d = arg;

	audit_drain(d->audit, AUDIT_END_MS, audit_written, d);
}

static void connections_closed(void *arg)
{
	struct daemon *d = arg;

	upgrade_when_idle(d->upgrade, stop_loop, d);
}

/* SIGUSR2: log rotation has moved the audit stream's file. */
static void on_reopen_signal(evutil_socket_t signal_number, short what, void *arg)
{
	struct daemon *d = arg;

	audit_reopen(d->audit);
}

/* SIGTERM: accept no new connections; streams end with `unavailable`; processes keep running. */
static void on_end_signal(evutil_socket_t signal_number, short what, void *arg)
{
	struct daemon *d = arg;

	if (d->ending) {
		loop_stop(&d->loop);
		return;
	}
	d->ending = true;
	log_info("ending: %s", strsignal((int)signal_number));
	notify_stopping(&d->notify);
	timer_set_ms(&d->shutdown_timer, SHUTDOWN_MS);
	server_shutdown(d->server, connections_closed, d);
}

/* SIGUSR1: writes the daemon's state to the log. */
static void on_state_signal(evutil_socket_t signal_number, short what, void *arg)
{
	struct daemon *d = arg;
	const struct budget *b = &d->context.budget;
	int kind;

	log_info("state: %zu connections, %llu requests since the start, %u file and %u process "
		 "workers busy",
		 server_connections(d->server), server_requests(d->server),
		 workers_busy(d->context.file_workers), workers_busy(d->context.process_workers));
	for (kind = 0; kind < BUDGET_KINDS; kind++)
		log_info("state: budget of %s: %zu used, %zu at most so far, limit %zu",
			 budget_kind_name((enum budget_kind)kind), b->used[kind], b->peak[kind],
			 b->limit[kind]);
	for (kind = 0; kind < BUDGET_CLASSES; kind++)
		log_info("state: bytes of %s: %zu used, %zu at most so far, limit %zu",
			 budget_class_name((enum budget_class)kind), b->classes[kind].used,
			 b->classes[kind].peak, b->classes[kind].limit);
	pty_service_dump(d->pty);
	watch_service_dump(d->watch);
}

/* A daemon that is about to be replaced blocks SIGTERM and SIGINT (envd/upgrade/ctl_upgrade.c). */
static void unblock_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* ---- the parts ---- */

/*
 * True if the daemon takes over processes, after a handover or a crash. Its end would then end the
 * processes, too, so a flag whose file or address can't be
 * used is logged instead.
 */
static bool takes_over(const struct daemon *d)
{
	return d->options->resume_handover || d->inherited->n_stored > 0;
}

/* The ports of the daemon itself must not be forwarded. */
static void renew_own_inodes(void *arg)
{
	struct daemon *d = arg;
	uint32_t own[PORT_SCAN_MAX_OWN];

	if (d->port_watch)
		port_watch_set_own_inodes(d->port_watch, own,
					  server_tcp_inodes(d->server, own, ARRAY_LEN(own)));
}

static void build(struct daemon *d)
{
	mem_reserve_init();
	loop_init(&d->loop);
	d->context.loop = &d->loop;
	mem_trim_init(&d->context.trim, &d->loop);
	budget_init(&d->context.budget);
	d->context.budget.trim = &d->context.trim;
	process_raise_descriptors(&d->context.budget);
	d->context.file_workers = workers_new(&d->loop, "files", FILE_WORKERS);
	workers_set_patience(d->context.file_workers, FILE_PATIENCE_US);
	workers_obey_quotas(d->context.file_workers);
	d->context.process_workers = workers_new(&d->loop, "processes", PROCESS_WORKERS);
	d->context.kill_workers = workers_new(&d->loop, "kills", KILL_WORKERS);
	/*
	 * Keep a thread: when a fork bomb has used up all pids, no new thread could run the KILL
	 * that ends it.
	 */
	workers_keep_thread(d->context.kill_workers);
	d->context.users = user_db_new(NULL, NULL);
	context_set_fallback_user(&d->context, "root");
	d->gate.context = &d->context;
	d->gate.cors = d->options->cors;
	d->router = router_new();
	d->codec_workers = workers_new(&d->loop, "codecs", CODEC_WORKERS);
	router_set_workers(d->router, d->codec_workers);
	if (d->options->keepalive_s)
		router_set_keepalive_s(d->router, d->options->keepalive_s);
	d->server = server_new(&d->loop, &d->context.budget, d->router, gate_check, &d->gate);
	if (d->options->any_vsock_peer)
		server_allow_any_vsock_peer(d->server);
	timer_init(&d->shutdown_timer, &d->loop, stop_loop, d);
	listeners_init(&d->listeners, &d->loop, d->server, d->options, takes_over(d),
		       renew_own_inodes, d);
}

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

/* Without sock_diag in the kernel there is no port forwarding, and GET /ports says so. */
static int start_ports(struct daemon *d)
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
 * behaves as if one were: whoever asked for the directory wants a crash to open nothing.
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

/* Adopts the processes of the previous daemon after a crash. */
static void adopt_stored(struct daemon *d)
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

/* Creates the services and registers their endpoints. */
static void start_services(struct daemon *d)
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

/*
 * Loads the default profile. An invalid profile ends the program at its start. A daemon that takes
 * over processes continues, but refuses new starts.
 */
static int load_profiles(struct daemon *d)
{
	const char *fault;

	d->profiles = seccomp_profiles_new(&d->options->seccomp);
	fault = seccomp_profiles_fault(d->profiles);
	if (!fault)
		return 0;
	fprintf(stderr, "envd: %s\n", fault);
	return takes_over(d) ? 0 : -1;
}

/* ---- the end ---- */

/* Runs the loop until no pool has work, for END_MAX_MS at most. Returns true if none has any. */
static bool finish_works(struct daemon *d)
{
	uint64_t end_ms = clock_monotonic_ms() + END_MAX_MS;

	do {
		timer_set_ms(&d->shutdown_timer, END_STEP_MS);
		loop_run(&d->loop);
	} while (d->loop.works > 0 && clock_monotonic_ms() < end_ms);
	return d->loop.works == 0;
}

static void free_parts(struct daemon *d)
{
	struct context *context = &d->context;

	log_set_sink(NULL, NULL);
	upgrade_free(d->upgrade);
	port_forward_free(d->port_forward);
	port_watch_free(d->port_watch);
	watch_service_free(d->watch);
	pty_service_free(d->pty);
	fs_service_free(d->fs);
	control_clear(&d->control);
	freezer_free(d->freezer);
	cgroups_free(d->cgroups);
	seccomp_profiles_free(d->profiles);
	router_free(d->router);
	workers_free(d->codec_workers);
	workers_free(context->kill_workers);
	workers_free(context->process_workers);
	workers_free(context->file_workers);
	user_db_free(context->users);
	context_clear(context);
	handover_clear(&d->handover);
	notify_clear(&d->notify);
	event_del(&d->on_term);
	event_del(&d->on_int);
	event_del(&d->on_usr1);
	if (d->audit)
		event_del(&d->on_usr2);
	audit_free(d->audit);
	timer_cancel(&d->shutdown_timer);
	listeners_clear(&d->listeners);
	loop_clear(&d->loop);
	free(d);
}

/* After the loop. The exit is orderly if all connections and all work have ended. */
static void daemon_end(struct daemon *d)
{
	bool orderly = FREES_AT_EXIT && server_connections(d->server) == 0 && finish_works(d);

	server_free(d->server); /* removes unix sockets */
	token_free(&d->control.token);
	if (orderly)
		free_parts(d);
}

/* 0, or -1 with one line on stderr. */
static int start_audit(struct daemon *d)
{
	struct error err;

	if (d->options->audit) {
		if (audit_new(&d->loop, d->options->audit, takes_over(d), &d->audit, &err) < 0) {
			fprintf(stderr, "envd: %s\n", err.message);
			return -1;
		}
		signal_event_add(&d->on_usr2, &d->loop, SIGUSR2, on_reopen_signal, d);
	}
	ctl_audit_register(d->audit, d->router);
	return 0;
}

int daemon_serve(const struct options *options, const struct inherited *inherited)
{
	struct daemon *d = mem_zalloc(sizeof(*d));

	d->options = options;
	d->inherited = inherited;
	if (options->resume_handover)
		handover_read(&d->handover, HANDOVER_BLOB, inherited);
	if (load_profiles(d) < 0) {
		seccomp_profiles_free(d->profiles);
		free(d);
		return 2;
	}
	spawn_init();
	if (inherited->notify_fd >= 0)
		notify_init_connected(&d->notify, inherited->notify_fd);
	else
		notify_init(&d->notify);
	process_ignore_signals();
	if (options->verbose)
		log_set_level(LOG_LEVEL_DEBUG);
	build(d);
	if (start_audit(d) < 0)
		return 2;
	signal_event_add(&d->on_term, &d->loop, SIGTERM, on_end_signal, d);
	signal_event_add(&d->on_int, &d->loop, SIGINT, on_end_signal, d);
	signal_event_add(&d->on_usr1, &d->loop, SIGUSR1, on_state_signal, d);
	unblock_signals();
	/*
	 * Listen first: a client that connects during the start waits in the kernel's queue. After
	 * a handover, listen last, so that no request comes before the adoption.
	 */
	if (!options->resume_handover && listeners_open(&d->listeners, inherited) < 0)
		return 1;
	if (geteuid() != 0)
		context_serve_invoker(&d->context);
	rights_report();
	start_services(d);
	if (options->resume_handover) {
		handover_adopt(&d->handover, &d->loop, &d->control, d->pty, d->watch,
			       options->upgrade_thaw_s);
		listeners_open(&d->listeners, inherited);
	} else {
		freezer_adopt_found(d->freezer);
		adopt_stored(d);
	}
	if (start_ports(d) < 0 && !takes_over(d))
		return 2;
	notify_ready(&d->notify, &d->loop);
	if (options->init && !options->pid1.command)
		pid1_listening();
	/* SIGTERM may have come during the adoption, which runs the loop too. */
	if (!d->ending)
		loop_run(&d->loop);
	daemon_end(d);
	return 0;
}
