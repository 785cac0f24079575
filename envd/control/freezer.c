#include "envd/control/freezer.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/work.h"
#include "envd/control/freeze_tree.h"

/* The kernel is asked whether all has stopped at 0.1, 0.2, 0.4, … and then every 2 ms. */
#define POLL_FIRST_US 100
#define POLL_MAX_US   2000

enum freeze_mode {
	FREEZE_MODE_NONE,
	FREEZE_MODE_LEGACY,
	FREEZE_MODE_HIERARCHY,
};

TAILQ_HEAD(freeze_jobs, freeze_job);

struct freezer {
	struct workers *workers; /* one thread */
	int root_fd;		 /* -1: no cgroups */
	void (*hold)(void *arg, bool hold);
	void *hold_arg;

	/* Loop only. */
	unsigned freezes_pending; /* asked for, and not done */
	bool groups_frozen;	  /* user and ptys, by us */
	bool holding;
	uint64_t watchdog_ms;
	struct timer watchdog;
	uint64_t watchdog_freeze; /* the number of the freeze it watches over */
	struct freezer_stats stats;
	struct freeze_jobs easy; /* jobs with nothing to do but to be answered, by the loop */
	struct defer answer_easy;

	/* The jobs' only; the loop looks while none is about. */
	enum freeze_mode unthawed; /* the last freeze, until something was thawed */
	bool active;		   /* a freeze is in effect */
	uint64_t n_freezes;	   /* and changed by a thaw that left nothing */
	struct path_list guest;	   /* what the guest had frozen before it */
};

struct freeze_job {
	struct work work;
	TAILQ_ENTRY(freeze_job) link; /* of those that need no worker */
	struct freezer *freezer;
	void *arg;

	struct freeze_request request;
	freezer_frozen_fn *frozen;
	struct freeze_result freeze;
	atomic_bool given_up;
	bool wrote; /* something was frozen */

	freezer_thawed_fn *thawed;
	bool wants_audit;
	bool by_watchdog, stale;
	uint64_t number; /* of the freeze: made, or by_watchdog watched over */
	bool groups_failed;
	struct thaw_result thaw;
};

/* ---- jobs, on the worker ---- */

/*
 * Whether a freeze of ours is in effect: by memory, and by the tree, which a daemon before this one
 * may have left frozen. Every freeze writes to user and ptys first.
 */
static bool in_effect(const struct freezer *f)
{
	return f->active || freeze_tree_is_frozen(f->root_fd, "user") == 1 ||
	       freeze_tree_is_frozen(f->root_fd, "ptys") == 1;
}

/* Takes what has stopped, and what has gone, off the list. */
static void look(const struct freezer *f, struct path_list *targets, struct freeze_result *result)
{
	size_t i, kept = 0;
	int r;

	for (i = 0; i < targets->n; i++) {
		r = freeze_tree_is_frozen(f->root_fd, targets->paths[i]);
		if (r == 0) {
			targets->paths[kept++] = targets->paths[i];
			continue;
		}
		if (r == 1)
			result->frozen++;
		else
			result->failed++;
		free(targets->paths[i]);
	}
	targets->n = kept;
}

static void await(struct freeze_job *job, struct path_list *targets, uint64_t begun_us)
{
	uint64_t until_us, now, pause_us = POLL_FIRST_US;
	struct timespec pause = {0};
	int64_t max_ms = job->request.max_wait_ms;

	/* Longer than any client waits, and short enough to count with. */
	if (max_ms > 24 * 60 * 60 * 1000)
		max_ms = 24 * 60 * 60 * 1000;
	until_us = begun_us + (uint64_t)max_ms * 1000;
	for (;;) {
		look(job->freezer, targets, &job->freeze);
		now = clock_monotonic_us();
		if (targets->n == 0 || now >= until_us || atomic_load(&job->given_up))
			return;
		if (pause_us > until_us - now)
			pause_us = until_us - now;
		pause.tv_nsec = (long)pause_us * 1000;
		nanosleep(&pause, NULL);
		pause_us = pause_us * 2 < POLL_MAX_US ? pause_us * 2 : POLL_MAX_US;
	}
}

/* Bounds what a client may ask for by what a thaw can reach. */
static unsigned max_visits(const struct freeze_request *request)
{
	if (request->max_cgroups <= 0)
		return FREEZE_DEFAULT_CGROUPS;
	return request->max_cgroups < FREEZE_MAX_CGROUPS ? (unsigned)request->max_cgroups
							 : FREEZE_MAX_CGROUPS;
}

static void freeze_run(struct work *work)
{
	struct freeze_job *job = container_of(work, struct freeze_job, work);
	struct freeze_result *result = &job->freeze;
	struct freezer *f = job->freezer;
	struct freeze_sweep sweep = {
		.hierarchy = job->request.hierarchy,
		.max_visits = max_visits(&job->request),
		.guest = &f->guest,
	};
	struct freeze_tree tree;
	uint64_t begun = clock_monotonic_us(), swept;
	bool truncated = false;

	freeze_tree_init(&tree, f->root_fd, "/proc/self/cgroup");
	/* While a freeze of ours is in effect, what is frozen is no more the guest's doing alone. */
	if (!in_effect(f)) {
		path_list_clear(&f->guest);
		result->scan_failed = freeze_tree_scan(&tree, &f->guest, &truncated);
		sweep.adopt = true;
	}
	freeze_tree_sweep(&tree, &sweep);
	freeze_tree_clear(&tree);
	swept = clock_monotonic_us();
	result->hierarchy = sweep.hierarchy;
	result->visited = sweep.visited;
	result->allowlisted = sweep.allowlisted;
	result->failed = sweep.failed;
	result->truncated = sweep.truncated || truncated;
	result->requested = (unsigned)sweep.targets.n;
	result->pre_frozen = (unsigned)f->guest.n;
	job->wrote = sweep.targets.n > 0;
	if (job->request.max_wait_ms > 0)
		await(job, &sweep.targets, swept);
	result->not_frozen = (unsigned)sweep.targets.n;
	result->sweep_ms = (unsigned)((swept - begun) / 1000);
	result->wait_ms = (unsigned)((clock_monotonic_us() - swept) / 1000);
	f->unthawed = sweep.hierarchy ? FREEZE_MODE_HIERARCHY : FREEZE_MODE_LEGACY;
	f->active = f->active || job->wrote;
	job->number = ++f->n_freezes;
	path_list_clear(&sweep.targets);
}

/* What the freeze has left. The names go to the log and not into a header: they are the guest's. */
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
	if (result.violations)
		log_error("%u cgroups that a resume needs were frozen: %s", result.violations,
			  result.violation_sample);
	if (result.escaped)
		log_warn("%u cgroups were not frozen, being new or not reached: %s", result.escaped,
			 result.escaped_sample);
}

static void thaw_run(struct work *work)
{
	struct freeze_job *job = container_of(work, struct freeze_job, work);
	struct freezer *f = job->freezer;
	struct freeze_thaw thaw = {.guest = &f->guest};
	struct freeze_tree tree;

	/* Another freeze, with a watchdog of its own, or a thaw has come between. */
	job->stale = job->by_watchdog && job->number != f->n_freezes;
	if (job->stale)
		return;
	freeze_tree_init(&tree, f->root_fd, "/proc/self/cgroup");
	audit(job, &tree);
	f->unthawed = FREEZE_MODE_NONE;
	/* Without a freeze of ours the guest's own are none of our business. */
	thaw.discover = in_effect(f);
	freeze_tree_thaw(&tree, &thaw);
	freeze_tree_clear(&tree);
	job->groups_failed = thaw.groups_failed;
	job->thaw.complete = thaw.failed == 0 && !thaw.truncated;
	if (job->thaw.complete) {
		f->active = false;
		f->n_freezes++;
	} else {
		error_set(&job->thaw.err, ERROR_INTERNAL, "%u cgroups could not be thawed%s",
			  thaw.failed,
			  thaw.truncated ? ", and there are more than are looked at" : "");
	}
	if (thaw.preserved)
		log_info("%u cgroups stay frozen: the guest had frozen them", thaw.preserved);
}

/* ---- what follows, on the loop ---- */

static void update_hold(struct freezer *f)
{
	bool hold = f->freezes_pending > 0 || f->groups_frozen;

	if (hold == f->holding)
		return;
	f->holding = hold;
	f->hold(f->hold_arg, hold);
}

static void log_freeze(const struct freeze_job *job)
{
	const struct freeze_result *r = &job->freeze;

	log_info(
		"frozen (%s): %u cgroups asked, %u stopped, %u not, %u failed, %u were the guest's",
		r->hierarchy ? "hierarchy" : "legacy", r->requested, r->frozen, r->not_frozen,
		r->failed, r->pre_frozen);
	if (r->scan_failed)
		log_warn("%u cgroups could not be looked at: a thaw will clear a freeze of the "
			 "guest's there",
			 r->scan_failed);
	if (r->truncated)
		log_warn("there are more cgroups than the freeze may visit (%u)", r->visited);
}

static void freeze_done(struct work *work)
{
	struct freeze_job *job = container_of(work, struct freeze_job, work);
	struct freezer *f = job->freezer;

	f->freezes_pending--;
	f->stats.freezes++;
	if (job->wrote) {
		f->groups_frozen = true;
		f->watchdog_freeze = job->number;
		timer_set_ms(&f->watchdog, f->watchdog_ms);
	}
	log_freeze(job);
	update_hold(f);
	if (!atomic_load(&job->given_up))
		job->frozen(job->arg, &job->freeze);
	free(job);
}

static void thaw_done(struct work *work)
{
	struct freeze_job *job = container_of(work, struct freeze_job, work);
	struct freezer *f = job->freezer;

	if (job->stale) {
		free(job);
		return;
	}
	f->stats.thaws++;
	f->groups_frozen = job->groups_failed;
	if (job->thaw.complete)
		timer_cancel(&f->watchdog);
	else
		log_error("thaw: %s", job->thaw.err.message);
	if (job->by_watchdog) {
		f->stats.rescues++;
		log_error("frozen for %ju s without a thaw: thawed",
			  (uintmax_t)f->watchdog_ms / 1000);
		if (!job->thaw.complete)
			timer_set_ms(&f->watchdog, f->watchdog_ms);
	}
	update_hold(f);
	if (job->thawed)
		job->thawed(job->arg, &job->thaw);
	free(job);
}

/* ---- what is asked for ---- */

static struct freeze_job *job_new(struct freezer *f, void *arg)
{
	struct freeze_job *job = mem_zalloc(sizeof(*job));

	job->freezer = f;
	job->arg = arg;
	return job;
}

static void answer_easy(void *arg)
{
	struct freezer *f = arg;
	struct freeze_job *job;

	while ((job = TAILQ_FIRST(&f->easy))) {
		TAILQ_REMOVE(&f->easy, job, link);
		if (job->frozen && !atomic_load(&job->given_up))
			job->frozen(job->arg, &job->freeze);
		if (job->thawed)
			job->thawed(job->arg, &job->thaw);
		free(job);
	}
}

static void answer_soon(struct freeze_job *job)
{
	TAILQ_INSERT_TAIL(&job->freezer->easy, job, link);
	defer_schedule(&job->freezer->answer_easy);
}

struct freeze_job *freezer_freeze(struct freezer *f, const struct freeze_request *request,
				  freezer_frozen_fn *done, void *arg)
{
	struct freeze_job *job = job_new(f, arg);

	job->request = *request;
	job->frozen = done;
	if (f->root_fd < 0) {
		/* user and ptys were asked, and can't be looked at. */
		job->freeze = (struct freeze_result){.requested = 2, .unobservable = 2};
		answer_soon(job);
		return job;
	}
	job->work.run = freeze_run;
	job->work.done = freeze_done;
	f->freezes_pending++;
	update_hold(f);
	work_submit(f->workers, &job->work);
	return job;
}

void freezer_give_up(struct freeze_job *job)
{
	struct freezer *f = job->freezer;

	atomic_store(&job->given_up, true);
	if (f->root_fd < 0 || !work_cancel(f->workers, &job->work))
		return;
	f->freezes_pending--;
	update_hold(f);
	free(job);
}

/* Nothing to do, as after nearly every start: found out without a worker. */
static bool nothing_frozen(const struct freezer *f)
{
	if (f->root_fd < 0)
		return true;
	return workers_busy(f->workers) == 0 && !f->active && f->unthawed == FREEZE_MODE_NONE &&
	       freeze_tree_is_asked(f->root_fd, "user") != 1 &&
	       freeze_tree_is_asked(f->root_fd, "ptys") != 1;
}

void freezer_thaw(struct freezer *f, bool wants_audit, freezer_thawed_fn *done, void *arg)
{
	struct freeze_job *job = job_new(f, arg);

	job->thawed = done;
	job->wants_audit = wants_audit;
	if (nothing_frozen(f)) {
		job->thaw.complete = true;
		answer_soon(job);
		return;
	}
	job->work.run = thaw_run;
	job->work.done = thaw_done;
	work_submit(f->workers, &job->work);
}

static void watchdog_fired(void *arg)
{
	struct freezer *f = arg;
	struct freeze_job *job = job_new(f, NULL);

	job->by_watchdog = true;
	job->number = f->watchdog_freeze;
	job->work.run = thaw_run;
	job->work.done = thaw_done;
	work_submit(f->workers, &job->work);
}

const struct freezer_stats *freezer_stats(const struct freezer *f)
{
	return &f->stats;
}

struct freezer *freezer_new(struct loop *loop, int root_fd, uint64_t watchdog_ms,
			    void (*hold)(void *arg, bool hold), void *hold_arg)
{
	struct freezer *f = mem_zalloc(sizeof(*f));

	f->root_fd = root_fd;
	f->watchdog_ms = watchdog_ms;
	f->hold = hold;
	f->hold_arg = hold_arg;
	f->workers = workers_new(loop, "freezer", 1);
	timer_init(&f->watchdog, loop, watchdog_fired, f);
	TAILQ_INIT(&f->easy);
	defer_init(&f->answer_easy, loop, answer_easy, f);
	return f;
}

void freezer_free(struct freezer *f)
{
	if (!f)
		return;
	workers_free(f->workers);
	timer_cancel(&f->watchdog);
	defer_cancel(&f->answer_easy);
	path_list_clear(&f->guest);
	free(f);
}
