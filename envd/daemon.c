/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/work.h"
#include "envd/boot/inherited.h"
#include "envd/boot/pid1.h"
#include "envd/boot/process.h"
#include "envd/boot/rights.h"
#include "envd/control/audit.h"
#include "envd/control/freezer.h"
#include "envd/daemon_impl.h"
#include "envd/relay/port_forward.h"
#include "envd/relay/port_scan.h"
#include "envd/relay/port_watch.h"
#include "envd/upgrade/handover.h"
#include "envd/upgrade/upgrade.h"
#include "fs/service.h"
#include "pty/cgroup/cgroups.h"
#include "pty/seccomp/profiles.h"
#include "pty/service.h"
#include "pty/spawn.h"
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

/* A daemon that is about to be replaced blocks all signals (envd/upgrade/ctl_upgrade.c). */
static void unblock_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* ---- the parts ---- */

/*
 * Returns true if the daemon takes over processes, after a handover or a crash. The end of such a
 * daemon would end these processes, too. Therefore, if the file or address of a flag can't be used,
 * the daemon logs the error and continues.
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
	else if (takes_over(d))
		/* A crash amid an upgrade leaves it, with variables and kept output of clients. */
		unlink(HANDOVER_BLOB);
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
	daemon_start_services(d);
	if (options->resume_handover) {
		handover_adopt(&d->handover, &d->loop, &d->control, d->pty, d->watch,
			       options->upgrade_thaw_s);
		listeners_open(&d->listeners, inherited);
	} else {
		freezer_adopt_found(d->freezer);
		daemon_adopt_stored(d);
	}
	if (daemon_start_ports(d) < 0 && !takes_over(d))
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
