/*
 * process.Process: the service whose methods start processes and steer them. One method a file,
 * pty/rpc_*.c.
 */
#ifndef PTY_SERVICE_H
#define PTY_SERVICE_H

#include <stddef.h>
#include <stdint.h>

#include "pty/proc.h"

struct cgroups;
struct pty_service;
struct router;
struct context;

/* For the metrics. */
struct pty_stats {
	uint64_t started; /* since the start, as all that can't shrink */
	uint64_t failed;  /* to start */
	uint64_t oom_kills;
	uint64_t output_bytes;
	size_t live;
	size_t readers;
	size_t waiting;	  /* for the thaw */
	size_t lingering; /* cgroups of processes that are over, with somebody in them */
};

/*
 * Borrows the state, with its workers, users and budget, and the cgroups, which may be NULL.
 * spawn_init must have been called.
 */
struct pty_service *pty_service_new(struct context *context, struct cgroups *cgroups);

/* Lets go of the processes, which live on. */
void pty_service_free(struct pty_service *svc);

void pty_service_register(struct pty_service *svc, struct router *router);

/* Whom KILL and the deadline reach unless a Start says otherwise (X-Envd-Kill-Scope). */
void pty_service_set_kill_scope(struct pty_service *svc, enum kill_scope scope);

/*
 * Holds back the start of processes that would begin in a frozen cgroup, and lets go of those held.
 */
void pty_service_hold(struct pty_service *svc, bool hold);

void pty_service_stats(const struct pty_service *svc, struct pty_stats *ret);

/* Writes every process to the log. */
void pty_service_dump(const struct pty_service *svc);

#endif
