/* SPDX-License-Identifier: Apache-2.0 */
/* The process.Process service, which starts and controls processes. */
#ifndef PTY_SERVICE_H
#define PTY_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pty/kill.h"

struct cgroups;
struct context;
struct limits;
struct pty_service;
struct router;
struct seccomp_profiles;

/* For the metrics. */
struct pty_stats {
	/* Counts since the daemon's start, plus the counts from pty_service_add_stats. */
	uint64_t started;
	uint64_t failed; /* to start */
	uint64_t oom_kills;
	uint64_t output_bytes;

	size_t live;
	size_t readers;
	size_t waiting;	  /* starts that have a request but no process yet */
	size_t lingering; /* cgroups of ended processes that still have members */
};

/*
 * Creates the service. Borrows the context and the cgroups (may be NULL). Call spawn_init before.
 */
struct pty_service *pty_service_new(struct context *context, struct cgroups *cgroups);

/* Frees the service. The processes keep running. Accepts NULL. */
void pty_service_free(struct pty_service *svc);

void pty_service_register(struct pty_service *svc, struct router *router);

/* Sets the scope of KILL and of the deadline for Starts without X-Envd-Kill-Scope. */
void pty_service_set_kill_scope(struct pty_service *svc, enum kill_scope scope);

/* Sets the default of each limit that a Start does not set. Not for the tag "_system". */
void pty_service_set_limits(struct pty_service *svc, const struct limits *limits);

/* The filters of system calls (borrowed), and whether each process gets no_new_privs. */
void pty_service_set_seccomp(struct pty_service *svc, struct seccomp_profiles *profiles,
			     bool no_new_privs);

/*
 * Returns a pointer to the time of the last start, by clock_monotonic_ms; 0: none. The pointer
 * stays valid as long as the service.
 */
const uint64_t *pty_service_last_start(const struct pty_service *svc);

/*
 * `refuse` true: refuses starts with `unavailable`, including queued starts that no worker has
 * begun, because the workload is frozen or about to be. False: accepts starts again. Starts with
 * the tag "_system" are refused only while the daemon is being replaced (pty/handover.h).
 */
void pty_service_refuse_starts(struct pty_service *svc, bool refuse);

/*
 * Returns true if a start is between its request and the exec of its child. A freeze waits until
 * there is none: a child that is frozen there would keep its worker until the thaw. Starts with the
 * tag "_system" count only while the daemon is being replaced: their children begin in the daemon's
 * cgroup, which is not frozen.
 */
bool pty_service_starting(const struct pty_service *svc);

void pty_service_stats(const struct pty_service *svc, struct pty_stats *ret);

/* Adds the counts of an earlier daemon, which this one has replaced. */
void pty_service_add_stats(struct pty_service *svc, const struct pty_stats *stats);

/* Writes every process to the log. */
void pty_service_dump(const struct pty_service *svc);

#endif
