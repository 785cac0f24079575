/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control API: the endpoints by which an orchestrator manages the whole sandbox. Each endpoint
 * has its own file (ctl_*.c); this struct is the state that they share. Loop only.
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
struct lifecycle;
struct log_export;
struct mmds;
struct mmds_route;
struct oom_log;
struct ports;
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
	bool has_cgroups;		  /* control_set_cgroups found a hierarchy */
	uint64_t started_ms;		  /* CLOCK_MONOTONIC */
	struct workers *collapse_workers; /* one thread per pool: a hang blocks no other pool */
	struct workers *fsfreeze_workers;
	bool fsfreeze_on_spare;		/* a call runs on the pool for kills */
	unsigned disk_freezes;		/* calls of /fsfreeze that have not ended */
	bool disk_frozen;		/* a /fsfreeze has succeeded, and no /fsthaw since */
	bool disk_holds_log;		/* the same; for the worker only */
	struct workers *system_workers; /* for system files: CA bundle, hosts, /run/e2b; in order */
	struct run_files *run_files;
	struct ports *ports;
	struct lifecycle *resume; /* generations and hooks */
	struct mmds *mmds;	  /* this and the next four: NULL outside Firecracker */
	struct mmds_route *mmds_route;
	struct log_export *log_export;
	struct cpus *cpus;
	struct oom_log *oom_log;

	struct freezer *freezer; /* this and pty: set by the daemon before it serves */
	const struct pty_service *pty;

	/*
	 * The value of X-Envd-Handover, sent in every response of /init if this daemon replaced
	 * another one under the same pid; else NULL. Borrowed; set by the daemon before it serves.
	 */
	const char *handover;
	char memory_report[MEMORY_REPORT_BYTES]; /* X-Envd-Memory */

	/*
	 * True after a handover, until an /init is authorised: the gate refuses every request
	 * except /health and /init, because the access token was not passed on.
	 */
	bool gate_closed;

	/* /init: ctl_init.c. */
	struct init_call *running; /* the call that runs now, or NULL */
	TAILQ_HEAD(init_queue, init_call) waiting;
	bool initialized;
	bool has_newest;
	int64_t newest_ns;		/* the newest timestamp of an applied /init */
	unsigned unobserved;		/* thaws by an /init after its client had gone */
	uint64_t unobserved_generation; /* generation of the freezer to which `unobserved` refers */

	/* /init: init_apply.c. */
	char *lifecycle;       /* lifecycleID of the last applied /init; owned */
	char *ca_bundle;       /* the installed bundle, normalised; owned */
	struct ca_job *ca_job; /* the installation in progress, or NULL */
	struct init_tidy *tidy, *tidy_waiting;
	struct volumes *volumes;

	/* /metrics: the CPU counters at the previous request. */
	uint64_t cpu_total, cpu_busy;
};

/*
 * Initialises the state. Borrows the context and the server. The daemon sets `freezer`, `pty` and
 * `handover` before it serves.
 */
void control_init(struct control *c, struct context *context, struct server *server,
		  bool is_not_fc);

/* Frees what control_init created. Precondition: no request and no work of the pools is left. */
void control_clear(struct control *c);

/* Registers all endpoints with the router. */
void control_register(struct control *c, struct router *router);

/* Each function is in the file of its name. control_register calls them. */
void ctl_info_register(struct control *c, struct router *router);
void ctl_envs_register(struct control *c, struct router *router);
void ctl_init_register(struct control *c, struct router *router);
void ctl_metrics_register(struct control *c, struct router *router);
void ctl_freeze_register(struct control *c, struct router *router);
void ctl_fsfreeze_register(struct control *c, struct router *router);

/* True from the request of a /fsfreeze until it fails, or until a /fsthaw succeeds. */
bool ctl_fsfreeze_active(const struct control *c);
void ctl_collapse_register(struct control *c, struct router *router);

/*
 * Computes X-Envd-Memory from the daemon's cgroup. `root_fd` is the root of the cgroup hierarchy;
 * -1: there are no cgroups.
 */
void control_set_cgroups(struct control *c, int root_fd);

#endif
