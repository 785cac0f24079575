/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/freezer.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/work.h"
#include "envd/control/freeze_tree.h"

/* The intervals for checking if everything is frozen: 0.1, 0.2, 0.4, … ms, up to 2 ms. */
#define POLL_FIRST_US 100
#define POLL_MAX_US   2000

/* The interval for checking if starts have ended. */
#define DRAIN_POLL_MS 2

/* The first generation is below this, so that JSON numbers represent all generations exactly. */
#define FIRST_GENERATION_MAX (UINT64_C(1) << 52)

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
	JOB_OVER,      /* its `done` will be called */
};

struct freeze_job {
	struct work work;
	TAILQ_ENTRY(freeze_job) link; /* in the freezer's queue */
	struct freezer *freezer;
	enum job_state state;
	void *arg;

	/* A freeze; `frozen` is not NULL. */
	struct freeze_request request;
	freezer_frozen_fn *frozen;
	uint64_t preparation; /* the number that `prepare` got */
	bool prepared;
	struct freeze_result freeze;
	atomic_bool given_up;
	bool wrote; /* a cgroup took the freeze */
	uint64_t drain_until_ms;

	/* A thaw. */
	freezer_thawed_fn *thawed;
	bool wants_audit;
	bool by_watchdog;
	bool stale;	    /* by_watchdog: another job ran in the meantime */
	uint64_t number;    /* of the freeze; by_watchdog: of the freeze to undo */
	bool groups_failed; /* user or ptys may still be frozen */
	bool done;	    /* no cgroup that could be thawed is still frozen */
	struct thaw_result thaw;
};

TAILQ_HEAD(freeze_jobs, freeze_job);

struct freezer {
	struct workers *workers; /* one thread */
	int root_fd;		 /* -1: no cgroups */
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
	uint64_t watchdog_freeze; /* the number of the freeze that it will undo */
	struct freezer_stats stats;

	/* Used by the job on the worker; the loop uses them while no job runs. */
	enum freeze_mode unthawed; /* mode of the last freeze, until the next thaw */
	bool active;		   /* a freeze is in effect */
	uint64_t n_freezes;	   /* incremented by each freeze and by each complete thaw */
	struct path_list guest;	   /* frozen by the guest before the freeze */
};

static void job_next(void *arg);

/* ---- states ---- */

static const char *job_state_name(enum job_state state)
{
	static const char *const names[] = {"queued", "preparing", "draining", "running", "over"};

	return names[state];
}

static void job_set_state(struct freeze_job *job, enum job_state state)
{
	log_debug("%s: %s -> %s", job->frozen ? "freeze" : "thaw", job_state_name(job->state),
		  job_state_name(state));
	job->state = state;
}

/* ---- jobs, on the worker ---- */

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
		else if (freeze_tree_has_vanished(targets->paths[i], r))
			result->vanished++;
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

	/* The limit of a day keeps the sum below from overflowing. */
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

/* A freeze visits at most as many cgroups as a thaw; otherwise a thaw would leave some frozen. */
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
	/* While a freeze is in effect, it is not visible who froze a cgroup. */
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
	result->vanished = sweep.vanished;
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
	if (result.violations)
		log_event(
			&(struct log_line){.level = LOG_LEVEL_ERROR,
					   LOG_FIELDS(LOG_NUMBER("violations", result.violations),
						      LOG_NUMBER("frozen", result.frozen),
						      LOG_NUMBER("visited", result.visited),
						      LOG_TEXT("paths", result.violation_sample))},
			"%u cgroups that a resume needs were frozen: %s", result.violations,
			result.violation_sample);
	if (result.escaped)
		log_event(&(struct log_line){.level = LOG_LEVEL_WARN,
					     LOG_FIELDS(LOG_NUMBER("escaped", result.escaped),
							LOG_NUMBER("frozen", result.frozen),
							LOG_TEXT("paths", result.escaped_sample))},
			  "%u cgroups were not frozen (created later, or not visited): %s",
			  result.escaped, result.escaped_sample);
	if (result.truncated)
		log_event(&(struct log_line){.level = LOG_LEVEL_WARN,
					     LOG_FIELDS(LOG_NUMBER("visited", result.visited))},
			  "the audit of the freeze stopped after %u cgroups, its limit",
			  result.visited);
}

static void thaw_run(struct work *work)
{
	struct freeze_job *job = container_of(work, struct freeze_job, work);
	struct freezer *f = job->freezer;
	struct freeze_thaw thaw = {.guest = &f->guest};
	struct freeze_tree tree;

	/* A thaw, or a freeze that has its own watchdog, ran in the meantime. */
	job->stale = job->by_watchdog && job->number != f->n_freezes;
	if (job->stale)
		return;
	freeze_tree_init(&tree, f->root_fd, "/proc/self/cgroup");
	audit(job, &tree);
	f->unthawed = FREEZE_MODE_NONE;
	/* If no freeze of the daemon is in effect, the guest froze every frozen cgroup itself. */
	thaw.discover = in_effect(f);
	freeze_tree_thaw(&tree, &thaw);
	freeze_tree_clear(&tree);
	job->groups_failed = thaw.groups_failed;
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

/* ---- the ends of jobs, on the loop ---- */

static void update_hold(struct freezer *f)
{
	bool hold = f->freezes_pending > 0 || f->groups_frozen;

	if (hold == f->holding)
		return;
	f->holding = hold;
	f->hooks.hold(f->hooks.arg, hold);
}

static void log_freeze(const struct freeze_job *job)
{
	const struct freeze_result *r = &job->freeze;

	log_info("frozen (%s): %u cgroups requested, %u frozen, %u not frozen, %u failed, "
		 "%u vanished, %u frozen by the guest",
		 r->hierarchy ? "hierarchy" : "legacy", r->requested, r->frozen, r->not_frozen,
		 r->failed, r->vanished, r->pre_frozen);
	if (job->request.max_wait_ms > 0 && r->not_frozen)
		log_event(&(struct log_line){.level = LOG_LEVEL_WARN,
					     LOG_FIELDS(LOG_NUMBER("requested", r->requested),
							LOG_NUMBER("frozen", r->frozen),
							LOG_NUMBER("not_frozen", r->not_frozen),
							LOG_NUMBER("failed", r->failed),
							LOG_NUMBER("vanished", r->vanished),
							LOG_NUMBER("wait_duration", r->wait_ms))},
			  "%u of %u cgroups were not frozen after %u ms", r->not_frozen,
			  r->requested, r->wait_ms);
	if (r->vanished)
		log_event(&(struct log_line){.level = LOG_LEVEL_DEBUG,
					     LOG_FIELDS(LOG_NUMBER("vanished", r->vanished),
							LOG_NUMBER("requested", r->requested),
							LOG_NUMBER("frozen", r->frozen))},
			  "%u cgroups were removed during the freeze", r->vanished);
	if (r->scan_failed)
		log_event(&(struct log_line){.level = LOG_LEVEL_WARN,
					     LOG_FIELDS(LOG_NUMBER("scan_failed", r->scan_failed),
							LOG_NUMBER("pre_frozen", r->pre_frozen))},
			  "%u cgroups could not be read before the freeze: a thaw will thaw them",
			  r->scan_failed);
	if (r->truncated)
		log_event(&(struct log_line){.level = LOG_LEVEL_WARN,
					     LOG_FIELDS(LOG_NUMBER("visited", r->visited),
							LOG_NUMBER("requested", r->requested))},
			  "there are more cgroups than the freeze may visit (%u)", r->visited);
}

static void freeze_over(struct freeze_job *job)
{
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
}

static void thaw_over(struct freeze_job *job)
{
	struct freezer *f = job->freezer;

	f->stats.thaws++;
	f->groups_frozen = job->groups_failed;
	if (job->done)
		timer_cancel(&f->watchdog);
	if (!job->thaw.complete)
		log_error("thaw: %s", job->thaw.err.message);
	if (job->by_watchdog) {
		f->stats.rescues++;
		log_error("frozen for %ju s without a thaw: thawed",
			  (uintmax_t)f->watchdog_ms / 1000);
		if (!job->done)
			timer_set_ms(&f->watchdog, f->watchdog_ms);
	}
	update_hold(f);
	if (job->thawed)
		job->thawed(job->arg, &job->thaw);
}

/* Ends the first job of the queue: calls its `done` and schedules the next job. */
static void job_over(struct freeze_job *job)
{
	struct freezer *f = job->freezer;

	job_set_state(job, JOB_OVER);
	TAILQ_REMOVE(&f->jobs, job, link);
	defer_schedule(&f->next);
	if (job->frozen)
		freeze_over(job);
	else if (job->thaw.withheld && job->thawed)
		job->thawed(job->arg, &job->thaw);
	else if (!job->stale && !job->thaw.withheld)
		thaw_over(job);
	free(job);
}

static void job_done(struct work *work)
{
	job_over(container_of(work, struct freeze_job, work));
}

/* ---- the first job of the queue ---- */

/*
 * Returns true if nothing is frozen, as after most starts. These two reads of cgroupfs need no
 * worker.
 */
static bool nothing_frozen(const struct freezer *f)
{
	return !f->active && f->unthawed == FREEZE_MODE_NONE &&
	       freeze_tree_is_asked(f->root_fd, "user") == 0 &&
	       freeze_tree_is_asked(f->root_fd, "ptys") == 0;
}

static void job_run(struct freeze_job *job)
{
	job_set_state(job, JOB_RUNNING);
	job->work.run = job->frozen ? freeze_run : thaw_run;
	job->work.done = job_done;
	work_submit(job->freezer->workers, &job->work);
}

/* Without cgroups, a freeze only refuses process starts; user and ptys count as unobservable. */
static void freeze_without_cgroups(struct freeze_job *job)
{
	job->freeze = (struct freeze_result){.requested = 2, .unobservable = 2};
	job->wrote = true;
	job->number = ++job->freezer->n_freezes;
	log_event(&(struct log_line){.level = LOG_LEVEL_WARN,
				     LOG_FIELDS(LOG_NUMBER("unobservable", 2))},
		  "there are no cgroups: a freeze only stops process starts");
	job_over(job);
}

static void job_drain(struct freeze_job *job)
{
	struct freezer *f = job->freezer;

	if (f->hooks.starting && f->hooks.starting(f->hooks.arg)) {
		if (clock_monotonic_ms() < job->drain_until_ms && !atomic_load(&job->given_up)) {
			timer_set_ms(&f->drain, DRAIN_POLL_MS);
			return;
		}
		log_warn("nothing is frozen: a process start did not end within %d ms",
			 FREEZER_DRAIN_MS);
		job->freeze =
			(struct freeze_result){.hierarchy = job->request.hierarchy, .failed = 2};
		job_over(job);
	} else if (f->root_fd < 0) {
		freeze_without_cgroups(job);
	} else {
		job_run(job);
	}
}

static void on_drain(void *arg)
{
	struct freezer *f = arg;

	job_drain(TAILQ_FIRST(&f->jobs));
}

static void job_begin_drain(struct freeze_job *job)
{
	job_set_state(job, JOB_DRAINING);
	job->drain_until_ms = clock_monotonic_ms() + FREEZER_DRAIN_MS;
	job_drain(job);
}

/* Returns true if a thaw was requested behind the first job. */
static bool thaw_waits(const struct freezer *f)
{
	const struct freeze_job *job;

	TAILQ_FOREACH (job, &f->jobs, link)
		if (!job->frozen && !job->thaw.withheld)
			return true;
	return false;
}

/* Ends the wait of the first job for its preparation. */
static void end_preparation(struct freezer *f)
{
	TAILQ_FIRST(&f->jobs)->prepared = true;
	defer_schedule(&f->next);
}

static void job_begin(struct freeze_job *job)
{
	struct freezer *f = job->freezer;

	if (job->frozen && job->request.prepares && f->hooks.prepare) {
		job_set_state(job, JOB_PREPARING);
		job->preparation = ++f->preparations;
		f->hooks.prepare(f->hooks.arg, job->preparation);
		if (thaw_waits(f))
			end_preparation(f);
	} else if (job->frozen) {
		job_begin_drain(job);
	} else if (job->thaw.withheld) {
		job_over(job);
	} else if (f->root_fd < 0 || (!job->by_watchdog && nothing_frozen(f))) {
		job->done = job->thaw.complete = true;
		job_over(job);
	} else {
		job_run(job);
	}
}

static void job_next(void *arg)
{
	struct freezer *f = arg;
	struct freeze_job *job = TAILQ_FIRST(&f->jobs);

	if (job && job->state == JOB_QUEUED)
		job_begin(job);
	else if (job && job->state == JOB_PREPARING && job->prepared)
		job_begin_drain(job);
}

/* ---- calls ---- */

static struct freeze_job *job_new(struct freezer *f, void *arg)
{
	struct freeze_job *job = mem_zalloc(sizeof(*job));

	job->freezer = f;
	job->arg = arg;
	TAILQ_INSERT_TAIL(&f->jobs, job, link);
	defer_schedule(&f->next);
	return job;
}

struct freeze_job *freezer_freeze(struct freezer *f, const struct freeze_request *request,
				  freezer_frozen_fn *done, void *arg)
{
	struct freeze_job *job = job_new(f, arg);

	job->request = *request;
	job->frozen = done;
	f->generation++;
	f->freezes_pending++;
	update_hold(f);
	return job;
}

void freezer_prepared(struct freezer *f, uint64_t number)
{
	const struct freeze_job *job = TAILQ_FIRST(&f->jobs);

	if (job && job->state == JOB_PREPARING && job->preparation == number)
		end_preparation(f);
}

void freezer_give_up(struct freeze_job *job)
{
	struct freezer *f = job->freezer;

	atomic_store(&job->given_up, true);
	if (job->state == JOB_DRAINING ||
	    (job->state == JOB_RUNNING && !work_cancel(f->workers, &job->work)))
		return; /* it ends by itself, soon */
	TAILQ_REMOVE(&f->jobs, job, link);
	defer_schedule(&f->next);
	f->freezes_pending--;
	update_hold(f);
	free(job);
}

void freezer_thaw(struct freezer *f, const struct thaw_request *request, freezer_thawed_fn *done,
		  void *arg)
{
	struct freeze_job *job = job_new(f, arg);

	job->thawed = done;
	job->wants_audit = request->audit;
	job->thaw.withheld = request->generation && request->generation != f->generation;
	if (!job->thaw.withheld && TAILQ_FIRST(&f->jobs)->state == JOB_PREPARING)
		end_preparation(f);
}

static void watchdog_fired(void *arg)
{
	struct freezer *f = arg;
	struct freeze_job *job = job_new(f, NULL);

	job->by_watchdog = true;
	job->number = f->watchdog_freeze;
}

void freezer_adopt(struct freezer *f, const char *const *guest_paths, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		path_list_add(&f->guest, guest_paths[i]);
	f->active = true;
	f->unthawed = FREEZE_MODE_LEGACY;
	f->groups_frozen = true;
	f->watchdog_freeze = ++f->n_freezes;
	timer_set_ms(&f->watchdog, f->watchdog_ms);
	update_hold(f);
}

void freezer_adopt_found(struct freezer *f)
{
	if (f->root_fd < 0 || (freeze_tree_is_asked(f->root_fd, "user") != 1 &&
			       freeze_tree_is_asked(f->root_fd, "ptys") != 1))
		return;
	log_warn("the workload was frozen by a daemon before this one");
	freezer_adopt(f, NULL, 0);
}

size_t freezer_guest_paths(const struct freezer *f, char *const **ret)
{
	*ret = f->guest.paths;
	return f->guest.n;
}

uint64_t freezer_generation(const struct freezer *f)
{
	return f->generation;
}

const struct freezer_stats *freezer_stats(const struct freezer *f)
{
	return &f->stats;
}

/* Random, so that a generation from another daemon does not match by chance. */
static uint64_t first_generation(void)
{
	uint64_t value = 0;

	if (getrandom(&value, sizeof(value), GRND_NONBLOCK) != sizeof(value))
		value = clock_monotonic_us();
	return value % (FIRST_GENERATION_MAX - 1) + 1;
}

struct freezer *freezer_new(struct loop *loop, int root_fd, uint64_t watchdog_ms,
			    const struct freezer_hooks *hooks)
{
	struct freezer *f = mem_zalloc(sizeof(*f));

	f->root_fd = root_fd;
	f->watchdog_ms = watchdog_ms;
	f->hooks = *hooks;
	f->generation = first_generation();
	f->workers = workers_new(loop, "freezer", 1);
	timer_init(&f->watchdog, loop, watchdog_fired, f);
	timer_init(&f->drain, loop, on_drain, f);
	TAILQ_INIT(&f->jobs);
	defer_init(&f->next, loop, job_next, f);
	return f;
}

void freezer_free(struct freezer *f)
{
	struct freeze_job *job;

	if (!f)
		return;
	workers_free(f->workers);
	timer_cancel(&f->watchdog);
	timer_cancel(&f->drain);
	defer_cancel(&f->next);
	while ((job = TAILQ_FIRST(&f->jobs))) {
		TAILQ_REMOVE(&f->jobs, job, link);
		free(job);
	}
	path_list_clear(&f->guest);
	free(f);
}
