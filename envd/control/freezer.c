/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/freezer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/work.h"
#include "envd/control/freeze_log.h"
#include "envd/control/freezer_impl.h"

/* The interval for checking if starts have ended. */
#define DRAIN_POLL_MS 2

/* The first generation is below this, so that JSON numbers represent all generations exactly. */
#define FIRST_GENERATION_MAX (UINT64_C(1) << 52)

static void job_next(void *arg);

static void job_free(struct freeze_job *job)
{
	path_list_clear(&job->vanished);
	path_list_clear(&job->targets);
	free(job);
}

/* ---- states ---- */

static const char *job_state_name(enum job_state state)
{
	static const char *const names[] = {"queued",  "preparing", "draining",
					    "running", "awaiting",  "over"};

	return names[state];
}

static void job_set_state(struct freeze_job *job, enum job_state state)
{
	log_debug("%s: %s -> %s", job->frozen ? "freeze" : "thaw", job_state_name(job->state),
		  job_state_name(state));
	job->state = state;
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
	freeze_log_result(&job->request, &job->freeze, f->root_fd, &job->vanished);
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
		freeze_log_rescue(&job->counts, job->thaw.complete ? NULL : &job->thaw.err,
				  f->watchdog_ms);
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
	job_free(job);
}

static void job_done(struct work *work)
{
	struct freeze_job *job = container_of(work, struct freeze_job, work);

	/* Between two slices, the work that is queued in the spare pool gets its turn. */
	if (job->frozen && job->workers == job->freezer->spare && freeze_waits(job)) {
		if (job->state == JOB_RUNNING)
			job_set_state(job, JOB_AWAITING);
		job->work.run = freeze_await;
		work_submit(job->workers, &job->work);
		return;
	}
	job_over(job);
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
	struct freezer *f = job->freezer;

	job->work.run = job->frozen ? freeze_run : thaw_run;
	job->work.done = job_done;
	job->workers = f->workers;
	job_set_state(job, JOB_RUNNING);
	work_submit(f->workers, &job->work);
	if (!f->spare || !workers_starve(f->workers) || !work_cancel(f->workers, &job->work))
		return;
	job->workers = f->spare;
	work_submit(f->spare, &job->work);
}

/* Without cgroups, a freeze only refuses process starts; user and ptys count as unobservable. */
static void freeze_without_cgroups(struct freeze_job *job)
{
	job->freeze = (struct freeze_result){.requested = 2, .unobservable = 2};
	job->wrote = true;
	job->number = ++job->freezer->n_freezes;
	log_event(&(struct log_line){.level = LOG_LEVEL_WARN,
				     .request = {.operation = job->request.operation},
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
	if (job->state == JOB_DRAINING || job->state == JOB_AWAITING ||
	    (job->state == JOB_RUNNING && !work_cancel(job->workers, &job->work)))
		return; /* it ends by itself, soon */
	TAILQ_REMOVE(&f->jobs, job, link);
	defer_schedule(&f->next);
	f->freezes_pending--;
	update_hold(f);
	job_free(job);
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

bool freezer_is_frozen(const struct freezer *f)
{
	return f->freezes_pending > 0 || f->groups_frozen;
}

bool freezer_holds(const struct freezer *f)
{
	const struct freeze_job *job = TAILQ_FIRST(&f->jobs);

	return f->groups_frozen && (!job || job->state == JOB_QUEUED);
}

uint64_t freezer_generation(const struct freezer *f)
{
	return f->generation;
}

const struct freezer_stats *freezer_stats(const struct freezer *f)
{
	return &f->stats;
}

void freezer_add_stats(struct freezer *f, const struct freezer_stats *stats)
{
	f->stats.freezes += stats->freezes;
	f->stats.thaws += stats->thaws;
	f->stats.rescues += stats->rescues;
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
	f->proc_file = "/proc/self/cgroup";
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

void freezer_set_spare(struct freezer *f, struct workers *spare)
{
	f->spare = spare;
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
		job_free(job);
	}
	path_list_clear(&f->guest);
	free(f);
}
