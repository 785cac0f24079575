/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the two files of the daemon: daemon.c builds the parts, runs the loop and handles
 * signals; daemon_services.c creates the services and connects them to each other.
 */
#ifndef ENVD_DAEMON_IMPL_H
#define ENVD_DAEMON_IMPL_H

#include <event2/event_struct.h>
#include <stdbool.h>

#include "base/loop.h"
#include "envd/boot/notify.h"
#include "envd/control/control.h"
#include "envd/gate.h"
#include "envd/listeners.h"
#include "envd/options.h"
#include "envd/upgrade/handover.h"
#include "rpc/context.h"

struct audit;
struct cgroups;
struct freezer;
struct fs_service;
struct inherited;
struct port_forward;
struct port_watch;
struct pty_service;
struct router;
struct seccomp_profiles;
struct server;
struct upgrade;
struct watch_service;
struct workers;

struct daemon {
	const struct options *options;
	struct loop loop;
	struct context context;
	struct gate gate;
	struct control control;
	struct port_watch *port_watch;	   /* NULL: the kernel has no sock_diag */
	struct port_forward *port_forward; /* NULL: off */
	struct router *router;
	struct workers *codec_workers;
	struct server *server;
	struct fs_service *fs;
	struct cgroups *cgroups; /* NULL: none */
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

/*
 * Creates the services, connects them, and registers their endpoints. The server, the router, the
 * seccomp profiles and the audit stream exist already.
 */
void daemon_start_services(struct daemon *d);

/* Adopts the processes that the previous daemon stored with the parent before it crashed. */
void daemon_adopt_stored(struct daemon *d);

/*
 * Starts the watch of ports and port forwarding. 0, or -1 if -forward-ip asks for forwarding that
 * can't be done. Without sock_diag in the kernel, GET /ports answers 501.
 */
int daemon_start_ports(struct daemon *d);

#endif
