/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The freezer: freezes the workload before a snapshot and thaws it after a resume.
 *
 * Freezes and thaws are jobs in one queue and run one after the other, in the order of the calls. A
 * thaw that was requested after a freeze therefore leaves the workload running. A caller can cancel
 * a freeze that has not begun; a thaw can't be cancelled.
 *
 * A freeze first waits for the hooks of the operator, if the request wants them (`prepare`).
 *
 * Before a freeze writes to a cgroup, it refuses new process starts and waits up to
 * FREEZER_DRAIN_MS for starts that are between fork and exec: a child that is frozen there would
 * keep a worker of the daemon blocked. If such starts remain, nothing is frozen.
 *
 * If no thaw follows a freeze within FREEZER_WATCHDOG_MS, the freezer thaws the workload itself.
 * The time is measured with CLOCK_MONOTONIC, which stands still while a virtual machine is paused.
 */
#ifndef ENVD_FREEZER_H
#define ENVD_FREEZER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"

struct freeze_job;
struct freezer;
struct workers;

#define FREEZER_WATCHDOG_MS (10 * 60 * 1000)
#define FREEZER_DRAIN_MS    250
#define FREEZER_SLICE_MS    50

/* Hooks into the service that starts processes. Called on the loop. */
struct freezer_hooks {
	/* `hold` true: refuse process starts from now on; false: allow them again. */
	void (*hold)(void *arg, bool hold);
	/* Returns true if a start is between fork and exec. The pointer may be NULL: never. */
	bool (*starting)(void *arg);
	/*
	 * A freeze is about to begin: call freezer_prepared with this number when the freeze may
	 * begin. The freezer stops waiting for that call if a thaw is requested after the freeze.
	 * NULL: there is nothing to prepare.
	 */
	void (*prepare)(void *arg, uint64_t number);
	void *arg;
};

struct freeze_request {
	bool prepares;	     /* the freeze waits for freezer_hooks.prepare */
	bool hierarchy;	     /* all cgroups that a resume does not need; else only user and ptys */
	int64_t max_cgroups; /* 0 or less: FREEZE_DEFAULT_CGROUPS */
	int64_t max_wait_ms; /* maximum wait until all are frozen; 0 or less: do not wait */
	uint64_t operation;  /* number of the HTTP request, for the log; 0: none */
};

/*
 * The report of a freeze (docs/compatibility/http.md, /freeze). requested = frozen + not_frozen +
 * unobservable + the cgroups that vanished or failed while they were waited for.
 */
struct freeze_result {
	bool hierarchy; /* the mode of the request */
	unsigned visited, allowlisted, pre_frozen, requested, frozen, not_frozen, failed;
	unsigned unobservable; /* no cgroups exist that could be observed */
	unsigned vanished;     /* listed, but removed before the freeze was complete */
	unsigned scan_failed;  /* unreadable before the freeze: a thaw will thaw them */
	bool truncated;
	unsigned sweep_ms, wait_ms;
};

#define FREEZER_AUDIT_BYTES 160

/* A thaw, requested by /init, by /unfreeze, or by the watchdog. */
struct thaw_request {
	bool audit; /* report how complete the freeze of the hierarchy was */
	/*
	 * Thaw only if no freeze was requested after freezer_generation returned this value. 0:
	 * always thaw.
	 */
	uint64_t generation;
};

struct thaw_result {
	bool withheld; /* nothing was done, because the generation has changed */
	bool complete;
	struct error err; /* if not complete, and not withheld */
	/* JSON for X-Envd-Freeze-Audit; "" if there is no audit. */
	char audit[FREEZER_AUDIT_BYTES];
};

typedef void freezer_frozen_fn(void *arg, const struct freeze_result *result);
typedef void freezer_thawed_fn(void *arg, const struct thaw_result *result);

/*
 * Creates a freezer. `root_fd` is the root of the cgroup hierarchy, borrowed; -1: there are no
 * cgroups, and a freeze only refuses process starts. Copies the hooks.
 */
struct freezer *freezer_new(struct loop *loop, int root_fd, uint64_t watchdog_ms,
			    const struct freezer_hooks *hooks);

/*
 * A pool that always has a thread, borrowed. A freeze or thaw runs on it if the kernel refuses a
 * thread to the freezer: a guest that has used up all processes must be frozen and thawed like any
 * other. The freeze then waits in slices of FREEZER_SLICE_MS, because the pool's own work waits
 * behind each of them.
 */
void freezer_set_spare(struct freezer *f, struct workers *spare);

/*
 * Waits for the running job and frees the freezer. Accepts NULL. Frozen cgroups stay frozen.
 * Precondition: no job runs on the spare pool.
 */
void freezer_free(struct freezer *f);

/*
 * Requests a freeze. `done` is called once, from the loop, unless freezer_give_up is called before.
 * Returns the job, which is valid until then.
 */
struct freeze_job *freezer_freeze(struct freezer *f, const struct freeze_request *request,
				  freezer_frozen_fn *done, void *arg);

/* The freeze of this number, the argument of `prepare`, may begin. Later calls do nothing. */
void freezer_prepared(struct freezer *f, uint64_t number);

/*
 * Cancels a freeze: `done` will not be called. A queued job is removed; a running job stops waiting
 * for the kernel, and its cgroups stay frozen.
 */
void freezer_give_up(struct freeze_job *job);

/*
 * Requests a thaw of every frozen cgroup. Cgroups that the guest had frozen itself stay frozen. The
 * loop calls `done` once, also if nothing was frozen.
 */
void freezer_thaw(struct freezer *f, const struct thaw_request *request, freezer_thawed_fn *done,
		  void *arg);

/*
 * Returns the number of the last requested freeze: above 0, below 2^53, from a random start. An
 * /init reads it when it arrives, so that its thaw does not undo a freeze that was requested later.
 */
uint64_t freezer_generation(const struct freezer *f);

/* Returns true if a freeze is in effect or was requested. */
bool freezer_is_frozen(const struct freezer *f);

/* Returns true if a freeze is in effect and no job runs that could thaw it. */
bool freezer_holds(const struct freezer *f);

/*
 * Takes over a freeze that an earlier daemon left in effect: process starts are refused until a
 * thaw, and the watchdog runs. `guest_paths` are the cgroups that the guest had frozen itself; a
 * thaw leaves them frozen. Call it before the first freeze or thaw. Copies.
 */
void freezer_adopt(struct freezer *f, const char *const *guest_paths, size_t n);

/*
 * Detects a freeze that an earlier daemon left in effect, with two reads of cgroupfs, and takes it
 * over. Call it before the first freeze or thaw.
 */
void freezer_adopt_found(struct freezer *f);

/*
 * Returns the number of cgroups that the guest had frozen before the freeze that is in effect. *ret
 * is borrowed until the next job. Call it only if freezer_holds, because a job changes the list.
 */
size_t freezer_guest_paths(const struct freezer *f, char *const **ret);

/* Counts since the start; `rescues` are thaws by the watchdog. */
struct freezer_stats {
	uint64_t freezes, thaws, rescues;
};
const struct freezer_stats *freezer_stats(const struct freezer *f);

/* Adds the counts of an earlier daemon. */
void freezer_add_stats(struct freezer *f, const struct freezer_stats *stats);

#endif
