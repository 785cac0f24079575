/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The freezer: stops the workload before a snapshot, and lets it go on after a resume.
 *
 * Freezes and thaws are jobs in one queue, and run one after the other in the order of the calls.
 * So a thaw that was asked for after a freeze leaves the workload running. A freeze whose caller
 * gives up while the freeze waits is taken back; a thaw never is.
 *
 * Before a freeze writes to a cgroup, it stops new process starts and waits up to
 * FREEZER_DRAIN_MS for the starts between their fork and their exec: a child that stops there would
 * keep its worker. If starts remain, nothing is frozen.
 *
 * A freeze that no thaw follows within FREEZER_WATCHDOG_MS is undone. The time is
 * CLOCK_MONOTONIC's, which stands still while a virtual machine is paused, so it counts from the
 * resume.
 */
#ifndef ENVD_FREEZER_H
#define ENVD_FREEZER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"

struct freeze_job;
struct freezer;

#define FREEZER_WATCHDOG_MS (10 * 60 * 1000)
#define FREEZER_DRAIN_MS    250

/* What the freezer needs from the service that starts processes. Called on the loop. */
struct freezer_hooks {
	/* `hold` true: processes must not be started any more; false: they may be again. */
	void (*hold)(void *arg, bool hold);
	/* Whether a start is between its fork and its exec. NULL: none ever is. */
	bool (*starting)(void *arg);
	void *arg;
};

struct freeze_request {
	bool hierarchy;	     /* everything that a resume does not need; or only user and ptys */
	int64_t max_cgroups; /* 0 or less: FREEZE_DEFAULT_CGROUPS */
	int64_t max_wait_ms; /* how long the kernel may take to stop all; <= 0: do not wait */
};

/*
 * The report of a freeze (docs/compatibility/http.md, /freeze). requested = frozen + not_frozen +
 * unobservable + the cgroups that vanished or failed while they were waited for.
 */
struct freeze_result {
	bool hierarchy; /* the mode of the request */
	unsigned visited, allowlisted, pre_frozen, requested, frozen, not_frozen, failed;
	unsigned unobservable; /* there are no cgroups to look at */
	unsigned vanished;     /* were listed, and removed before the freeze was done with them */
	unsigned scan_failed;  /* could not be read before the freeze: a thaw will thaw them */
	bool truncated;
	unsigned sweep_ms, wait_ms;
};

#define FREEZER_AUDIT_BYTES 160

/* A thaw: of /init, of /unfreeze, of the daemon itself. */
struct thaw_request {
	bool audit; /* report what a freeze of the hierarchy has left */
	/*
	 * Thaw only if no freeze was asked for since freezer_generation returned this. 0: always.
	 */
	uint64_t generation;
};

struct thaw_result {
	bool withheld; /* nothing was done: the generation is an older one */
	bool complete;
	struct error err; /* if not complete, and not withheld */
	/* JSON for X-Envd-Freeze-Audit; "" if none was asked for or there is none. */
	char audit[FREEZER_AUDIT_BYTES];
};

typedef void freezer_frozen_fn(void *arg, const struct freeze_result *result);
typedef void freezer_thawed_fn(void *arg, const struct thaw_result *result);

/*
 * `root_fd` is the root of the cgroup hierarchy, borrowed; -1: there are no cgroups, and a freeze
 * only stops process starts. Copies the hooks.
 */
struct freezer *freezer_new(struct loop *loop, int root_fd, uint64_t watchdog_ms,
			    const struct freezer_hooks *hooks);

/* Waits for the running job; what is frozen stays frozen. */
void freezer_free(struct freezer *f);

/* `done` comes from the loop. The job is borrowed until then. */
struct freeze_job *freezer_freeze(struct freezer *f, const struct freeze_request *request,
				  freezer_frozen_fn *done, void *arg);

/*
 * The caller has gone: no `done` comes. A job that waits is dropped; one that runs stops waiting.
 */
void freezer_give_up(struct freeze_job *job);

/*
 * Thaws every frozen cgroup except those that the guest had frozen itself. `done` comes from the
 * loop, also if there was nothing to do.
 */
void freezer_thaw(struct freezer *f, const struct thaw_request *request, freezer_thawed_fn *done,
		  void *arg);

/*
 * The number of the last freeze that was asked for: never 0, below 2^53, from a random start. An
 * /init reads it when it enters: a freeze that comes after it must not be undone by that /init.
 */
uint64_t freezer_generation(const struct freezer *f);

/*
 * Takes over a freeze that a daemon before this one left in effect: starts are refused until a
 * thaw, and the watchdog runs. The paths are those of cgroups that the guest had frozen itself; a
 * thaw leaves them frozen. Call it before the first freeze or thaw. Copies.
 */
void freezer_adopt(struct freezer *f, const char *const *guest_paths, size_t n);

/*
 * Looks for a freeze that a daemon before this one left in effect, in two reads of cgroupfs, and
 * takes it over if there is one. Call it before the first freeze or thaw.
 */
void freezer_adopt_found(struct freezer *f);

/*
 * The cgroups that the guest had frozen before the freeze that is in effect: *ret is borrowed until
 * the next job. Only from inside a freezer_frozen_fn, since no job runs there.
 */
size_t freezer_guest_paths(const struct freezer *f, char *const **ret);

/* Freezes and thaws since the start, and thaws by the watchdog. */
struct freezer_stats {
	uint64_t freezes, thaws, rescues;
};
const struct freezer_stats *freezer_stats(const struct freezer *f);

#endif
