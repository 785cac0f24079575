/*
 * The freezer: stops the workload before a snapshot and lets it go on after a resume.
 *
 * Every freeze and thaw is a job of one worker thread, and that is the lock between them: they run
 * one after the other, in the order in which they were asked for. A job whose caller gives up while
 * it waits is taken back; a thaw is never.
 *
 * A freeze that no thaw has followed after FREEZER_WATCHDOG_MS is undone. The time is that of the
 * guest's running (CLOCK_MONOTONIC stands still while a virtual machine is paused), so it begins
 * with the resume.
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

struct freeze_request {
	bool hierarchy;	     /* all that is not needed for the resume; or user and ptys */
	int64_t max_cgroups; /* 0 or less: FREEZE_DEFAULT_CGROUPS */
	int64_t max_wait_ms; /* for the kernel to stop everything; 0 or less: not at all */
};

/* http.md, /freeze: requested = frozen + not_frozen + unobservable + those that vanished. */
struct freeze_result {
	bool hierarchy; /* what was done */
	unsigned visited, allowlisted, pre_frozen, requested, frozen, not_frozen, failed;
	unsigned unobservable; /* there are no cgroups to look at */
	unsigned scan_failed;  /* could not be classified as the guest's: will be thawed */
	bool truncated;
	unsigned sweep_ms, wait_ms;
};

#define FREEZER_AUDIT_BYTES 160

struct thaw_result {
	bool complete;
	struct error err; /* where it is not */
	/* JSON for X-Envd-Freeze-Audit, where one was asked for and there is one; else "". */
	char audit[FREEZER_AUDIT_BYTES];
};

typedef void freezer_frozen_fn(void *arg, const struct freeze_result *result);
typedef void freezer_thawed_fn(void *arg, const struct thaw_result *result);

/*
 * `root_fd` is the root of the hierarchy, borrowed; -1: there are no cgroups, and nothing is done.
 * `hold` is told when processes can't be started because of a freeze, and when they can again.
 */
struct freezer *freezer_new(struct loop *loop, int root_fd, uint64_t watchdog_ms,
			    void (*hold)(void *arg, bool hold), void *hold_arg);

/* Waits for the running job; leaves what is frozen. */
void freezer_free(struct freezer *f);

/* `done` comes from the loop. The job is borrowed until then. */
struct freeze_job *freezer_freeze(struct freezer *f, const struct freeze_request *request,
				  freezer_frozen_fn *done, void *arg);

/* The caller has gone: no `done` comes. What waits is dropped, what runs does not wait any more. */
void freezer_give_up(struct freeze_job *job);

/*
 * Thaws whatever is frozen, but for what the guest had frozen itself. `done` comes from the loop,
 * also where there was nothing to do. With `audit` it is found out before the thaw what a freeze of
 * the hierarchy has left.
 */
void freezer_thaw(struct freezer *f, bool audit, freezer_thawed_fn *done, void *arg);

/* Freezes and thaws since the start, and thaws by the watchdog. */
struct freezer_stats {
	uint64_t freezes, thaws, rescues;
};
const struct freezer_stats *freezer_stats(const struct freezer *f);

#endif
