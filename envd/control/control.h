/*
 * The control API: what an orchestrator does with a sandbox as a whole. One file an endpoint
 * (ctl_*.c); this is what they share.
 */
#ifndef ENVD_CONTROL_H
#define ENVD_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "envd/control/token.h"
#include "rpc/context.h"

struct freezer;
struct init_call;
struct log_export;
struct mmds;
struct mounts;
struct pty_service;
struct router;
struct server;

struct control {
	struct context *context;
	struct server *server;
	struct token token;
	bool is_not_fc;
	struct workers *control_workers;  /* one thread: what must not overlap */
	struct workers *fsfreeze_workers; /* one thread, which none of the others' work holds up */
	struct mmds *mmds;		  /* NULL outside Firecracker */
	struct log_export *log_export;	  /* NULL outside Firecracker */

	struct freezer *freezer; /* set by the daemon before it serves, as is pty */
	const struct pty_service *pty;

	/*
	 * The value of X-Envd-Handover, which every answer of /init carries when this daemon replaced
	 * another one under the same pid; NULL otherwise. Borrowed; set by the daemon before it serves.
	 */
	const char *handover;

	/*
	 * After a handover: until an /init was authorised, the gate refuses every request but /health and
	 * /init, because the access token was not carried over.
	 */
	bool gate_closed;

	/* /init (ctl_init.c). */
	struct init_call *running; /* one at a time; the others wait in order */
	TAILQ_HEAD(init_queue, init_call) waiting;
	bool initialized;
	bool has_newest;
	int64_t newest_ns; /* timestamp of the newest /init */
	char *lifecycle;   /* of the last one */
	char *ca_bundle;   /* the one that is installed, normalised; owned */
	bool tidying;	   /* a worker is still busy with what comes after an answer */
	struct mounts *mounts;

	/* /metrics (ctl_metrics.c): the counters of its last call. */
	uint64_t cpu_total, cpu_busy;
};

/* Borrows both; fill in the rest before serving. */
void control_init(struct control *c, struct context *context, struct server *server,
		  bool is_not_fc);

/* Registers every endpoint. */
void control_register(struct control *c, struct router *router);

/* One function for each file. */
void ctl_envs_register(struct control *c, struct router *router);
void ctl_init_register(struct control *c, struct router *router);
void ctl_metrics_register(struct control *c, struct router *router);
void ctl_freeze_register(struct control *c, struct router *router);
void ctl_fsfreeze_register(struct control *c, struct router *router);
void ctl_collapse_register(struct control *c, struct router *router);

/* What the metadata service told: the sandbox's names, the log's address (control.c). */
struct mmds_answer;
void control_known(void *arg, const struct mmds_answer *answer);

#endif
