/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/lifecycle.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/work.h"
#include "envd/control/hooks.h"
#include "envd/control/reseed.h"
#include "envd/control/run_files.h"

#define GENERATION_FILE_MAX_BYTES 4096

/* A generation that begins. It outlives its /init if the worker hangs. */
struct generation {
	struct work work;
	struct lifecycle *lifecycle;
	char id[LIFECYCLE_ID_BYTES];
	char *secret;
	uint64_t number;	 /* of the last generation; then of this one */
	bool is_new;		 /* not the one that an earlier daemon recorded */
	void (*done)(void *arg); /* NULL: its /init no longer waits */
	void *arg;
	struct timer deadline;
};

/* One run of the hooks of one kind. */
struct hook_run {
	struct work work;
	struct lifecycle *lifecycle;
	struct hooks hooks;
	bool running;
	char number[24];
	char id[LIFECYCLE_ID_BYTES];
};

struct lifecycle {
	struct loop *loop;
	struct workers *workers;      /* one thread: reseeds, and writes the file */
	struct workers *hook_workers; /* a thread for each kind: neither waits for the other */
	const char *hooks_directory;
	unsigned hook_timeout_ms;

	char id[LIFECYCLE_ID_BYTES]; /* "": none is known yet */
	uint64_t number;
	struct generation *beginning; /* NULL: none */
	struct generation *next;      /* begins after `beginning`; NULL: none */
	bool hooks_due;		      /* the post-thaw hooks of this generation have not run */
	bool thawed;		      /* the workload was thawed since the generation began */

	struct hook_run post_thaw, pre_freeze;
	struct timer freeze_deadline;
	void (*freeze_done)(void *arg, uint64_t number); /* NULL: nobody waits */
	void *freeze_arg;
	uint64_t freeze_number;
};

static void generation_run(struct work *work);
static void generation_done(struct work *work);
static void generation_overdue(void *arg);
static void generation_tell(struct generation *g);
static void run_post_thaw(struct lifecycle *l);
static void hooks_work(struct work *work);
static void post_thaw_done(struct work *work);
static void pre_freeze_done(struct work *work);
static void freeze_overdue(void *arg);

struct lifecycle *lifecycle_new(struct loop *loop)
{
	struct lifecycle *l = mem_zalloc(sizeof(*l));

	l->loop = loop;
	l->workers = workers_new(loop, "lifecycle", 1);
	l->hook_workers = workers_new(loop, "hooks", 2);
	l->post_thaw.lifecycle = l->pre_freeze.lifecycle = l;
	l->post_thaw.hooks.kind = "post-thaw";
	l->pre_freeze.hooks.kind = "pre-freeze";
	l->post_thaw.work.run = l->pre_freeze.work.run = hooks_work;
	l->post_thaw.work.done = post_thaw_done;
	l->pre_freeze.work.done = pre_freeze_done;
	timer_init(&l->freeze_deadline, loop, freeze_overdue, l);
	lifecycle_set_hooks(l, LIFECYCLE_HOOKS_DIR, LIFECYCLE_HOOK_TIMEOUT_S * 1000);
	return l;
}

static void generation_free(struct generation *g)
{
	if (!g)
		return;
	timer_cancel(&g->deadline);
	explicit_bzero(g->secret, strlen(g->secret));
	free(g->secret);
	free(g);
}

void lifecycle_free(struct lifecycle *l)
{
	if (!l)
		return;
	workers_free(l->workers);
	workers_free(l->hook_workers);
	timer_cancel(&l->freeze_deadline);
	generation_free(l->beginning);
	generation_free(l->next);
	free(l);
}

void lifecycle_set_hooks(struct lifecycle *l, const char *directory, unsigned timeout_ms)
{
	l->hooks_directory = directory;
	l->hook_timeout_ms = timeout_ms;
}

/* ---- a generation begins ---- */

/* Copies an id as it is written to the file: one word. */
static void copy_id(char ret[LIFECYCLE_ID_BYTES], const char *id)
{
	size_t i;

	for (i = 0; id[i] && i + 1 < LIFECYCLE_ID_BYTES; i++)
		ret[i] = id[i] > ' ' && id[i] < 0x7f ? id[i] : '_';
	ret[i] = '\0';
}

/* Returns the id of the newest generation that was requested; "": none. */
static const char *newest_id(const struct lifecycle *l)
{
	if (l->next)
		return l->next->id;
	return l->beginning ? l->beginning->id : l->id;
}

static void generation_begin(struct lifecycle *l, struct generation *g)
{
	g->number = l->number;
	l->beginning = g;
	work_submit(l->workers, &g->work);
}

/*
 * Lets a generation wait while the worker is busy with another one. It replaces a generation that
 * waits already: that one is out of date, and never begins.
 */
static void generation_wait(struct lifecycle *l, struct generation *g)
{
	log_warn("generation %s: waits until generation %s has begun", g->id, l->beginning->id);
	if (l->next)
		generation_tell(l->next);
	generation_free(l->next);
	l->next = g;
}

void lifecycle_begin(struct lifecycle *l, const char *id, const char *secret,
		     void (*done)(void *arg), void *arg)
{
	char word[LIFECYCLE_ID_BYTES] = "";
	struct generation *g;

	copy_id(word, id ? id : "");
	if (!*word || strcmp(word, newest_id(l)) == 0) {
		done(arg);
		return;
	}
	g = mem_zalloc(sizeof(*g));
	memcpy(g->id, word, sizeof(g->id));
	g->lifecycle = l;
	g->secret = mem_strdup(secret);
	g->done = done;
	g->arg = arg;
	g->work.run = generation_run;
	g->work.done = generation_done;
	timer_init(&g->deadline, l->loop, generation_overdue, g);
	timer_set_ms(&g->deadline, LIFECYCLE_BEGIN_MS);
	l->thawed = false;
	if (l->beginning)
		generation_wait(l, g);
	else
		generation_begin(l, g);
}

/*
 * Reads what an earlier daemon recorded: "NUMBER ID\n". After a restart of the daemon the first
 * /init then begins no generation if its id is the recorded one.
 */
static void read_generation(struct generation *g)
{
	char *text, *space;
	uint64_t number;

	g->is_new = true;
	if (fd_read_file(AT_FDCWD, RUN_FILES_DIRECTORY "/" LIFECYCLE_GENERATION_FILE,
			 GENERATION_FILE_MAX_BYTES, &text, NULL) < 0)
		return;
	text[strcspn(text, "\n")] = '\0';
	space = strchr(text, ' ');
	if (space) {
		*space = '\0';
		if (decimal_parse_text(text, UINT64_MAX / 2, &number) && number > g->number)
			g->number = number;
		g->is_new = strcmp(space + 1, g->id) != 0;
	}
	free(text);
}

static void generation_run(struct work *work)
{
	struct generation *g = container_of(work, struct generation, work);
	char text[LIFECYCLE_ID_BYTES + 32];
	int r;

	read_generation(g);
	if (!g->is_new)
		return;
	g->number++;
	r = reseed_random(RESEED_DEVICE, g->id, g->secret);
	if (r < 0)
		log_warn("generation %" PRIu64 ": the random generator can't be reseeded: %s",
			 g->number, error_errno_text(r));
	else
		log_info("generation %" PRIu64 ": %s", g->number,
			 r == RESEED_DONE ? "the random generator was reseeded"
					  : "the random generator's pool was changed");
	snprintf(text, sizeof(text), "%" PRIu64 " %s\n", g->number, g->id);
	r = run_files_write(LIFECYCLE_GENERATION_FILE, text, 0644);
	if (r < 0)
		log_warn("generation %" PRIu64 ": %s/%s: %s", g->number, RUN_FILES_DIRECTORY,
			 LIFECYCLE_GENERATION_FILE, error_errno_text(r));
}

/* The /init goes on, once. */
static void generation_tell(struct generation *g)
{
	void (*done)(void *arg) = g->done;

	g->done = NULL;
	timer_cancel(&g->deadline);
	if (done)
		done(g->arg);
}

static void generation_overdue(void *arg)
{
	struct generation *g = arg;

	log_warn("generation %s: the /init goes on without it", g->id);
	generation_tell(g);
}

static void generation_done(struct work *work)
{
	struct generation *g = container_of(work, struct generation, work);
	struct lifecycle *l = g->lifecycle;

	l->beginning = NULL;
	memcpy(l->id, g->id, sizeof(l->id));
	l->number = g->number;
	if (g->is_new)
		l->hooks_due = true;
	if (l->next) {
		generation_begin(l, l->next);
		l->next = NULL;
	}
	generation_tell(g);
	run_post_thaw(l);
	generation_free(g);
}

/* ---- hooks ---- */

static void submit_hooks(struct hook_run *run)
{
	struct lifecycle *l = run->lifecycle;

	snprintf(run->number, sizeof(run->number), "%" PRIu64, l->number);
	memcpy(run->id, l->id, sizeof(run->id));
	run->hooks.directory = l->hooks_directory;
	run->hooks.generation = run->number;
	run->hooks.id = run->id;
	run->hooks.timeout_ms = l->hook_timeout_ms;
	run->hooks.total_ms = l->hook_timeout_ms * LIFECYCLE_HOOK_TIMEOUTS;
	run->running = true;
	work_submit(l->hook_workers, &run->work);
}

static void hooks_work(struct work *work)
{
	hooks_run(&container_of(work, struct hook_run, work)->hooks);
}

/* Runs the post-thaw hooks if they are due and may run. Call it when one of these has changed. */
static void run_post_thaw(struct lifecycle *l)
{
	if (l->beginning || !l->hooks_due || !l->thawed || l->post_thaw.running)
		return;
	l->hooks_due = false;
	submit_hooks(&l->post_thaw);
}

void lifecycle_thawed(struct lifecycle *l)
{
	l->thawed = true;
	run_post_thaw(l);
}

static void post_thaw_done(struct work *work)
{
	struct lifecycle *l = container_of(work, struct hook_run, work)->lifecycle;

	l->post_thaw.running = false;
	run_post_thaw(l);
}

static void freeze_tell(struct lifecycle *l)
{
	void (*done)(void *arg, uint64_t number) = l->freeze_done;

	l->freeze_done = NULL;
	timer_cancel(&l->freeze_deadline);
	if (done)
		done(l->freeze_arg, l->freeze_number);
}

/* Removes pre-freeze hooks that no thread has begun. */
static void cancel_pre_freeze(struct lifecycle *l)
{
	if (l->pre_freeze.running && work_cancel(l->hook_workers, &l->pre_freeze.work))
		l->pre_freeze.running = false;
}

static void freeze_overdue(void *arg)
{
	struct lifecycle *l = arg;

	log_warn("the freeze goes on: hooks in pre-freeze did not end");
	cancel_pre_freeze(l); /* they would find the workload frozen */
	freeze_tell(l);
}

void lifecycle_before_freeze(struct lifecycle *l, uint64_t number,
			     void (*done)(void *arg, uint64_t number), void *arg)
{
	cancel_pre_freeze(l);
	if (l->pre_freeze.running) {
		log_warn("the pre-freeze hooks of an earlier freeze still run: skipped");
		done(arg, number);
		return;
	}
	l->freeze_done = done;
	l->freeze_arg = arg;
	l->freeze_number = number;
	timer_set_ms(&l->freeze_deadline, (uint64_t)l->hook_timeout_ms * LIFECYCLE_HOOK_TIMEOUTS);
	submit_hooks(&l->pre_freeze);
	/* Where the kernel has no thread left, it has no process for a hook either. */
	if (workers_starve(l->hook_workers))
		cancel_pre_freeze(l);
	if (l->pre_freeze.running)
		return;
	log_warn("the freeze goes on without hooks in pre-freeze: no thread can be started");
	freeze_tell(l);
}

static void pre_freeze_done(struct work *work)
{
	struct lifecycle *l = container_of(work, struct hook_run, work)->lifecycle;

	l->pre_freeze.running = false;
	freeze_tell(l);
}
