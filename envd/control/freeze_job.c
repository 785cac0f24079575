/* SPDX-License-Identifier: Apache-2.0 */
/* What a job of the freezer does on the worker. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "envd/control/freezer_impl.h"

/* The intervals for checking if everything is frozen: 0.1, 0.2, 0.4, … ms, up to 2 ms. */
#define POLL_FIRST_US 100
#define POLL_MAX_US   2000

/*
 * Returns true if a freeze of the daemon is in effect. Memory alone does not tell: an earlier
 * daemon may have left the tree frozen. Every freeze writes to user and ptys first, so their state
 * shows it.
 */
static bool in_effect(const struct freezer *f)
{
	return f->active || freeze_tree_is_frozen(f->root_fd, "user") == 1 ||
	       freeze_tree_is_frozen(f->root_fd, "ptys") == 1;
}

/* Removes the cgroups that are frozen, vanished or failed from the list, and counts them. */
static void look(struct freeze_job *job, struct path_list *targets)
{
	struct freeze_result *result = &job->freeze;
	size_t i, kept = 0;
	int r;

	for (i = 0; i < targets->n; i++) {
		r = freeze_tree_is_frozen(job->freezer->root_fd, targets->paths[i]);
		if (r == 0) {
			targets->paths[kept++] = targets->paths[i];
			continue;
		}
		if (r == 1) {
			result->frozen++;
		} else if (freeze_tree_has_vanished(targets->paths[i], r)) {
			result->vanished++;
			freeze_tree_sample(&job->vanished, targets->paths[i]);
		} else {
			result->failed++;
		}
		free(targets->paths[i]);
	}
	targets->n = kept;
}

/* Returns the end of the wait; the limit of a day keeps the sum from overflowing. */
static uint64_t wait_end_us(const struct freeze_job *job)
{
	int64_t max_ms = job->request.max_wait_ms;

	if (max_ms <= 0)
		return job->swept_us;
	if (max_ms > 24 * 60 * 60 * 1000)
		max_ms = 24 * 60 * 60 * 1000;
	return job->swept_us + (uint64_t)max_ms * 1000;
}

bool freeze_waits(const struct freeze_job *job)
{
	return job->targets.n > 0 && clock_monotonic_us() < wait_end_us(job) &&
	       !atomic_load(&job->given_up);
}

/* Waits until everything is frozen. On the spare pool, at most for FREEZER_SLICE_MS. */
static void await(struct freeze_job *job)
{
	uint64_t until_us = wait_end_us(job), now = clock_monotonic_us(), pause_us = POLL_FIRST_US;
	struct timespec pause = {0};

	if (job->workers == job->freezer->spare && until_us > now + FREEZER_SLICE_MS * 1000)
		until_us = now + FREEZER_SLICE_MS * 1000;
	for (;;) {
		look(job, &job->targets);
		now = clock_monotonic_us();
		if (job->targets.n == 0 || now >= until_us || atomic_load(&job->given_up))
			break;
		if (pause_us > until_us - now)
			pause_us = until_us - now;
		pause.tv_nsec = (long)pause_us * 1000;
		nanosleep(&pause, NULL);
		pause_us = pause_us * 2 < POLL_MAX_US ? pause_us * 2 : POLL_MAX_US;
	}
	job->freeze.not_frozen = (unsigned)job->targets.n;
	job->freeze.wait_ms = (unsigned)((now - job->swept_us) / 1000);
}

void freeze_await(struct work *work)
{
	await(container_of(work, struct freeze_job, work));
}

/* A freeze visits at most as many cgroups as a thaw; otherwise a thaw would leave some frozen. */
static unsigned max_visits(const struct freeze_request *request)
{
	if (request->max_cgroups <= 0)
		return FREEZE_DEFAULT_CGROUPS;
	return request->max_cgroups < FREEZE_MAX_CGROUPS ? (unsigned)request->max_cgroups
							 : FREEZE_MAX_CGROUPS;
}

void freeze_run(struct work *work)
{
	struct freeze_job *job = container_of(work, struct freeze_job, work);
	struct freeze_result *result = &job->freeze;
	struct freezer *f = job->freezer;
	struct freeze_sweep sweep = {
		.hierarchy = job->request.hierarchy,
		.max_visits = max_visits(&job->request),
		.guest = &f->guest,
		.vanished_paths = &job->vanished,
	};
	struct freeze_tree tree;
	uint64_t begun = clock_monotonic_us();
	bool truncated = false;
	int r = freeze_tree_init(&tree, f->root_fd, f->proc_file);

	if (r < 0 && sweep.hierarchy) {
		log_error("only user and ptys are frozen: the daemon's cgroup is unknown: %s",
			  error_errno_text(r));
		sweep.hierarchy = false;
		sweep.failed++;
	}
	/* While a freeze is in effect, it is not visible who froze a cgroup. */
	if (!in_effect(f)) {
		path_list_clear(&f->guest);
		result->scan_failed = freeze_tree_scan(&tree, &f->guest, &truncated);
		sweep.adopt = true;
	}
	freeze_tree_sweep(&tree, &sweep);
	freeze_tree_clear(&tree);
	job->swept_us = clock_monotonic_us();
	job->targets = sweep.targets;
	result->hierarchy = sweep.hierarchy;
	result->visited = sweep.visited;
	result->allowlisted = sweep.allowlisted;
	result->failed = sweep.failed;
	result->vanished = sweep.vanished;
	result->truncated = sweep.truncated || truncated;
	result->requested = (unsigned)job->targets.n;
	result->pre_frozen = (unsigned)f->guest.n;
	result->not_frozen = result->requested;
	result->sweep_ms = (unsigned)((job->swept_us - begun) / 1000);
	job->wrote = result->requested > 0;
	if (job->request.max_wait_ms > 0)
		await(job);
	f->unthawed = sweep.hierarchy ? FREEZE_MODE_HIERARCHY : FREEZE_MODE_LEGACY;
	f->active = f->active || job->wrote;
	job->number = ++f->n_freezes;
}

/* Audits the freeze. The guest chooses the names, so they go to the log and not to a header. */
static void audit(struct freeze_job *job, const struct freeze_tree *tree)
{
	struct freeze_audit result;

	if (!job->wants_audit || job->freezer->unthawed != FREEZE_MODE_HIERARCHY)
		return;
	freeze_tree_audit(tree, &result);
	snprintf(job->thaw.audit, sizeof(job->thaw.audit),
		 "{\"visited\":%u,\"frozen\":%u,\"escaped\":%u,\"violations\":%u,\"truncated\":%s}",
		 result.visited, result.frozen, result.escaped, result.violations,
		 result.truncated ? "true" : "false");
	freeze_log_audit(&result);
}

void thaw_run(struct work *work)
{
	struct freeze_job *job = container_of(work, struct freeze_job, work);
	struct freezer *f = job->freezer;
	struct freeze_thaw thaw = {.guest = &f->guest};
	struct freeze_tree tree;

	/* A thaw, or a freeze that has its own watchdog, ran in the meantime. */
	job->stale = job->by_watchdog && job->number != f->n_freezes;
	if (job->stale)
		return;
	freeze_tree_init(&tree, f->root_fd, f->proc_file);
	audit(job, &tree);
	f->unthawed = FREEZE_MODE_NONE;
	/* If no freeze of the daemon is in effect, the guest froze every frozen cgroup itself. */
	thaw.discover = in_effect(f);
	freeze_tree_thaw(&tree, &thaw);
	freeze_tree_clear(&tree);
	job->groups_failed = thaw.groups_failed;
	job->counts =
		(struct freeze_thaw_counts){thaw.visited, thaw.thawed, thaw.failed, thaw.truncated};
	job->done = thaw.failed == 0 && !thaw.truncated;
	job->thaw.complete = job->done && thaw.missing == 0;
	if (job->done) {
		f->active = false;
		f->n_freezes++;
	}
	if (!job->thaw.complete)
		error_set(&job->thaw.err, ERROR_INTERNAL, "%u cgroups could not be thawed%s",
			  thaw.failed + thaw.missing,
			  thaw.truncated ? ", and the limit of cgroups was reached" : "");
	if (thaw.preserved)
		log_info("%u cgroups stay frozen: the guest had frozen them", thaw.preserved);
}
