/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control API, by which an orchestrator handles a sandbox as a whole. Each endpoint has a file
 * of its own (ctl_*.c); this is the state that they share. Loop only.
 */
#ifndef ENVD_CONTROL_H
#define ENVD_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "envd/control/memory_report.h"
#include "envd/control/token.h"
#include "rpc/context.h"

struct ca_job;
struct cpus;
struct freezer;
struct init_call;
struct init_tidy;
struct log_export;
struct mmds;
struct mmds_route;
struct oom_log;
struct pty_service;
struct router;
struct run_files;
struct server;
struct volumes;

struct control {
	struct context *context;
	struct server *server;
	struct token token;
	bool is_not_fc;
	struct workers
		*collapse_workers; /* one thread each, so that a pool that hangs stops no other */
	struct workers *fsfreeze_workers;
	struct workers
		*system_workers; /* files of the system: CA bundle, hosts, /run/e2b; in order */
	struct run_files *run_files;
	struct mmds *mmds; /* NULL outside Firecracker, as are the next four */
	struct mmds_route *mmds_route;
	struct log_export *log_export;
	struct cpus *cpus;
	struct oom_log *oom_log;

	struct freezer *freezer; /* set by the daemon before it serves, as is pty */
	const struct pty_service *pty;

	/*
	 * The value of X-Envd-Handover, which every answer of /init carries when this daemon
	 * replaced another one under the same pid; NULL otherwise. Borrowed; set by the daemon
	 * before it serves.
	 */
	const char *handover;
	char memory_report[MEMORY_REPORT_BYTES]; /* X-Envd-Memory */

	/*
	 * After a handover: until an /init was authorised, the gate refuses every request but
	 * /health and
	 * /init, because the access token was not carried over.
	 */
	bool gate_closed;

	/* /init: ctl_init.c. */
	struct init_call *running; /* one at a time */
	TAILQ_HEAD(init_queue, init_call) waiting;
	bool initialized;
	bool has_newest;
	int64_t newest_ns;		/* timestamp of the newest /init */
	unsigned unobserved;		/* thaws of /init whose client had gone */
	uint64_t unobserved_generation; /* of the freezer, when they were counted */

	/* /init: init_apply.c. */
	char *lifecycle;       /* of the last /init; owned */
	char *ca_bundle;       /* the one that is installed, normalised; owned */
	struct ca_job *ca_job; /* being installed */
	struct init_tidy *tidy, *tidy_waiting;
	struct volumes *volumes;

	/* /metrics: the counters of its last call. */
	uint64_t cpu_total, cpu_busy;
};

/*
 * Borrows the context and the server. The daemon sets freezer, pty and handover before it serves.
 */
void control_init(struct control *c, struct context *context, struct server *server,
		  bool is_not_fc);

/* Registers every endpoint. */
void control_register(struct control *c, struct router *router);

/* Each is defined by the file of its name. */
void ctl_envs_register(struct control *c, struct router *router);
void ctl_init_register(struct control *c, struct router *router);
void ctl_metrics_register(struct control *c, struct router *router);
void ctl_freeze_register(struct control *c, struct router *router);
void ctl_fsfreeze_register(struct control *c, struct router *router);
void ctl_collapse_register(struct control *c, struct router *router);

/*
 * Reads X-Envd-Memory from the daemon's cgroup. `root_fd` is the root of the hierarchy; -1: none.
 */
void control_set_cgroups(struct control *c, int root_fd);

#endif
