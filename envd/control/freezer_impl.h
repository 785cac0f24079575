/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the files of the freezer: freezer.c has the queue of jobs, on the loop; freeze_job.c
 * runs one job, on the worker.
 */
#ifndef ENVD_FREEZER_IMPL_H
#define ENVD_FREEZER_IMPL_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "base/loop.h"
#include "base/work.h"
#include "envd/control/freeze_log.h"
#include "envd/control/freeze_tree.h"
#include "envd/control/freezer.h"

enum freeze_mode {
	FREEZE_MODE_NONE,
	FREEZE_MODE_LEGACY,
	FREEZE_MODE_HIERARCHY,
};

enum job_state {
	JOB_QUEUED,    /* behind another job */
	JOB_PREPARING, /* a freeze: waits for freezer_prepared */
	JOB_DRAINING,  /* a freeze: waits for starts to end */
	JOB_RUNNING,   /* on the worker */
	JOB_AWAITING,  /* a freeze on the spare pool: waits for the kernel, in slices */
	JOB_OVER,      /* its `done` will be called */
};

struct freeze_job {
	struct work work;
	TAILQ_ENTRY(freeze_job) link; /* in the freezer's queue */
	struct freezer *freezer;
	enum job_state state;
	struct workers *workers; /* from JOB_RUNNING on: the pool that runs it */
	void *arg;

	/* A freeze; `frozen` is not NULL. */
	struct freeze_request request;
	freezer_frozen_fn *frozen;
	uint64_t preparation; /* the number that `prepare` got */
	bool prepared;
	struct freeze_result freeze;
	atomic_bool given_up;
	bool wrote;		   /* cgroup.freeze of a cgroup was written */
	struct path_list targets;  /* written to, and not seen frozen yet */
	uint64_t swept_us;	   /* when all cgroups had been written to */
	struct path_list vanished; /* the first of them, for the log */
	uint64_t drain_until_ms;

	/* A thaw. */
	freezer_thawed_fn *thawed;
	bool wants_audit;
	bool by_watchdog;
	bool stale;	    /* by_watchdog: another job ran in the meantime */
	uint64_t number;    /* of the freeze; by_watchdog: of the freeze to undo */
	bool groups_failed; /* user or ptys may still be frozen */
	bool done;	    /* no cgroup that could be thawed is still frozen */
	struct freeze_thaw_counts counts;
	struct thaw_result thaw;
};

TAILQ_HEAD(freeze_jobs, freeze_job);

struct freezer {
	struct workers *workers; /* one thread */
	struct workers *spare;	 /* a pool that keeps a thread; NULL: none */
	int root_fd;		 /* -1: no cgroups */
	const char *proc_file;	 /* "/proc/self/cgroup"; tests set another */
	struct freezer_hooks hooks;

	/* Loop only. */
	struct freeze_jobs jobs; /* the first one is in progress */
	struct defer next;	 /* starts the first job */
	struct timer drain;
	uint64_t generation;
	unsigned freezes_pending; /* requested, not done yet */
	uint64_t preparations;
	bool groups_frozen; /* this daemon froze user and ptys */
	bool holding;
	uint64_t watchdog_ms;
	struct timer watchdog;
	uint64_t watchdog_freeze; /* the number of the freeze that the watchdog will undo */
	struct freezer_stats stats;

	/* Used by the job on the worker; the loop uses them while no job runs. */
	enum freeze_mode unthawed; /* mode of the last freeze, until the next thaw */
	bool active;		   /* a freeze is in effect */
	uint64_t n_freezes;	   /* incremented by each freeze and by each complete thaw */
	struct path_list guest;	   /* frozen by the guest before the freeze */
};

/* `run` of a freeze and of a thaw. */
void freeze_run(struct work *work);

/* `run` of a freeze in JOB_AWAITING: continues to wait. */
void freeze_await(struct work *work);

/* Returns true if the wait of a freeze is not over: freeze_await must run. */
bool freeze_waits(const struct freeze_job *job);

void thaw_run(struct work *work);

#endif
