/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/init_apply.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/work.h"
#include "envd/control/ca_bundle.h"
#include "envd/control/clock.h"
#include "envd/control/control.h"
#include "envd/control/cpus.h"
#include "envd/control/hosts.h"
#include "envd/control/init_request.h"
#include "envd/control/lifecycle.h"
#include "envd/control/token.h"
#include "envd/control/volumes.h"
#include "rpc/http/server.h"

#define EVENTS_HOST "events.e2b.local"
#define HOSTS_PATH  "/etc/hosts"

struct init_apply {
	struct control *control;
	const struct init_request *request;
	init_applied_fn *done;
	void *arg;
	struct init_applied result;
	struct ca_job *ca; /* the installation that this waits for; NULL: none */
	struct timer ca_deadline;
};

/* The installation of a CA bundle on a worker. If the worker hangs, the job outlives its /init. */
struct ca_job {
	struct work work;
	struct control *control;
	struct init_apply *apply; /* NULL: its /init no longer waits for it */
	char *bundle;		  /* normalised */
	char *previous;		  /* to remove; NULL: read the copy of an earlier daemon */
	bool failed;
	struct error err;
};

static void apply_generation(struct init_apply *a);
static void apply_ca(void *arg);
static void on_ca_deadline(void *arg);
static void apply_volumes(struct init_apply *a);
static void apply_cpus(struct init_apply *a);

static void apply_end(struct init_apply *a)
{
	timer_cancel(&a->ca_deadline);
	a->done(a->arg, &a->result);
	free(a);
}

static void apply_fail(struct init_apply *a, unsigned status, const struct error *err)
{
	a->result.status = status;
	a->result.err = *err;
	apply_end(a);
}

/* ---- steps that do not block ---- */

/* The log gets the names of the variables, as many as a line holds, but no values. */
static void log_names(const struct init_request *r)
{
	char names[512] = "";
	size_t i, n = 0, bytes;

	if (!log_has_sink())
		return;
	for (i = 0; i < r->n_vars; i++) {
		bytes = strlen(r->vars[i].name);
		if (n + bytes + 2 > sizeof(names))
			break;
		n += (size_t)snprintf(names + n, sizeof(names) - n, " %s", r->vars[i].name);
	}
	log_event(&(struct log_line){.level = LOG_LEVEL_DEBUG, .request = r->log},
		  "init: %zu variables:%s%s", r->n_vars, names, i < r->n_vars ? " ..." : "");
}

static void apply_vars(struct control *c, const struct init_request *r)
{
	size_t i;

	if (!r->has_vars)
		return;
	context_env_clear_user(c->context);
	for (i = 0; i < r->n_vars; i++)
		context_env_set(c->context, r->vars[i].name, r->vars[i].value, false);
	log_names(r);
}

static void apply_token(struct control *c, const struct init_request *r)
{
	if (r->token)
		token_set(&c->token, r->token, r->token_bytes);
	else
		token_clear(&c->token);
	log_event(&(struct log_line){.level = LOG_LEVEL_DEBUG, .request = r->log}, "init: token %s",
		  r->token ? "set" : "cleared");
}

static void apply_defaults(struct control *c, const struct init_request *r)
{
	if (r->default_user && *r->default_user) {
		context_set_default_user(c->context, r->default_user);
		log_event(&(struct log_line){.level = LOG_LEVEL_DEBUG, .request = r->log},
			  "init: default user %s", r->default_user);
	}
	if (r->default_workdir && *r->default_workdir) {
		context_set_default_workdir(c->context, r->default_workdir);
		log_event(&(struct log_line){.level = LOG_LEVEL_DEBUG, .request = r->log},
			  "init: default workdir %s", r->default_workdir);
	}
}

/*
 * A new lifecycle means a resume. The peer of an older connection may not exist any more: the
 * sandbox runs on another host, or the host has lost its sockets.
 */
static void apply_lifecycle(struct control *c, const struct init_request *r)
{
	const char *lifecycle = r->lifecycle_id ? r->lifecycle_id : "";

	if (c->lifecycle && strcmp(c->lifecycle, lifecycle) != 0)
		server_suspect_connections(c->server);
	free(c->lifecycle);
	c->lifecycle = mem_strdup(lifecycle);
}

void init_apply(struct control *c, const struct init_request *request, init_applied_fn *done,
		void *arg)
{
	struct init_apply *a = mem_zalloc(sizeof(*a));

	a->control = c;
	a->request = request;
	a->done = done;
	a->arg = arg;
	a->result.status = 204;
	timer_init(&a->ca_deadline, c->context->loop, on_ca_deadline, a);
	if (request->has_timestamp)
		clock_correct(request->timestamp_ns);
	apply_vars(c, request);
	apply_token(c, request);
	apply_defaults(c, request);
	apply_lifecycle(c, request);
	apply_generation(a);
}

/* Before the thaw: the workload of a clone must not draw the numbers of its parent. */
static void apply_generation(struct init_apply *a)
{
	struct control *c = a->control;
	char secret[TOKEN_HASH_BYTES] = "";
	const char *token;
	size_t n;

	token = token_bytes(&c->token, &n);
	if (token)
		token_hash(token, n, secret);
	lifecycle_begin(c->resume, a->request->lifecycle_id, secret, apply_ca, a);
	explicit_bzero(secret, sizeof(secret));
}

/* ---- the CA bundle ---- */

static void ca_job_free(struct ca_job *job)
{
	free(job->bundle);
	free(job->previous);
	free(job);
}

static void ca_run(struct work *work)
{
	struct ca_job *job = container_of(work, struct ca_job, work);
	char *text;

	/* An earlier daemon stored a copy of the bundle that it had installed. */
	if (!job->previous &&
	    fd_read_file(AT_FDCWD, CA_KEPT_PATH, CA_BUNDLE_MAX_BYTES, &text, NULL) == 0)
		job->previous = text;
	if (job->previous && strcmp(job->previous, job->bundle) == 0)
		job->previous[0] = '\0';
	job->failed = ca_bundle_install(CA_BUNDLE_PATH, job->bundle, job->previous, &job->err) < 0;
}

static void ca_done(struct work *work)
{
	struct ca_job *job = container_of(work, struct ca_job, work);
	struct control *c = job->control;
	struct init_apply *a = job->apply;

	c->ca_job = NULL;
	if (!job->failed) {
		free(c->ca_bundle);
		c->ca_bundle = mem_strdup(job->bundle);
	}
	if (a) {
		a->ca = NULL;
		timer_cancel(&a->ca_deadline);
		if (job->failed)
			apply_fail(a, 400, &job->err);
		else
			apply_volumes(a);
	}
	ca_job_free(job);
}

static void ca_in_progress(struct init_apply *a)
{
	struct error err;

	error_set(&err, ERROR_UNAVAILABLE, "failed to install CA bundle: installation in progress");
	apply_fail(a, 503, &err);
}

/* The worker is blocked by a slow disk, or by a file system that /fsfreeze froze. */
static void on_ca_deadline(void *arg)
{
	struct init_apply *a = arg;

	a->ca->apply = NULL;
	ca_in_progress(a);
}

static void apply_ca(void *arg)
{
	struct init_apply *a = arg;
	const char *wanted = a->request->ca_bundle;
	struct control *c = a->control;
	struct ca_job *job;
	char *bundle;

	bundle = wanted && *wanted ? ca_bundle_normalize(wanted) : NULL;
	if (!bundle || (!c->ca_job && c->ca_bundle && strcmp(c->ca_bundle, bundle) == 0)) {
		free(bundle);
		apply_volumes(a);
		return;
	}
	if (c->ca_job) {
		free(bundle);
		ca_in_progress(a);
		return;
	}
	job = mem_zalloc(sizeof(*job));
	job->control = c;
	job->apply = a;
	job->bundle = bundle;
	job->previous = c->ca_bundle ? mem_strdup(c->ca_bundle) : NULL;
	job->work.run = ca_run;
	job->work.done = ca_done;
	c->ca_job = a->ca = job;
	timer_set_ms(&a->ca_deadline, INIT_CA_TIMEOUT_MS);
	work_submit(c->system_workers, &job->work);
}

/* ---- volumes, CPUs ---- */

static void volumes_done(void *arg, const struct error *err)
{
	struct init_apply *a = arg;

	if (err)
		apply_fail(a, 400, err);
	else
		apply_cpus(a);
}

static void apply_volumes(struct init_apply *a)
{
	const struct init_request *r = a->request;

	if (r->n_mounts)
		volumes_mount(a->control->volumes, r->mounts, r->n_mounts, r->lifecycle_id,
			      volumes_done, a);
	else
		apply_cpus(a);
}

static void apply_cpus(struct init_apply *a)
{
	const struct init_request *r = a->request;

	if (r->has_cpus && a->control->cpus)
		cpus_set_target(a->control->cpus, r->cpus, &a->result.cpus_error);
	apply_end(a);
}

/* ---- tidying ---- */

struct init_tidy {
	struct work work;
	struct control *control;
	char *hyperloop_ip; /* NULL: none */
	char *ca_bundle;    /* NULL: none */
	bool hosts_set;
};

static void tidy_next(struct control *c);

static void tidy_free(struct init_tidy *t)
{
	if (!t)
		return;
	free(t->hyperloop_ip);
	free(t->ca_bundle);
	free(t);
}

static void tidy_run(struct work *work)
{
	struct init_tidy *t = container_of(work, struct init_tidy, work);
	int r;

	if (t->ca_bundle)
		ca_bundle_keep(CA_KEPT_PATH, t->ca_bundle);
	if (!t->hyperloop_ip)
		return;
	r = hosts_set(HOSTS_PATH, t->hyperloop_ip, EVENTS_HOST);
	t->hosts_set = r == 0;
	if (r < 0)
		log_error("%s can't be changed for hyperloop address '%s': %s", HOSTS_PATH,
			  t->hyperloop_ip, error_errno_text(r));
}

static void tidy_done(struct work *work)
{
	struct init_tidy *t = container_of(work, struct init_tidy, work);
	struct control *c = t->control;
	char url[128];

	/* The buffer is large enough, because hosts_set accepts only numeric addresses. */
	if (t->hosts_set) {
		snprintf(url, sizeof(url), "http://%s", t->hyperloop_ip);
		context_env_set(c->context, "E2B_EVENTS_ADDRESS", url, true);
	}
	tidy_free(t);
	c->tidy = NULL;
	tidy_next(c);
}

static void tidy_next(struct control *c)
{
	if (c->tidy || !c->tidy_waiting)
		return;
	c->tidy = c->tidy_waiting;
	c->tidy_waiting = NULL;
	work_submit(c->system_workers, &c->tidy->work);
}

void init_tidy(struct control *c, const struct init_request *r)
{
	struct init_tidy *t, *older = c->tidy_waiting;

	if (!r->hyperloop_ip && !(r->ca_bundle && *r->ca_bundle && c->ca_bundle))
		return;
	t = mem_zalloc(sizeof(*t));
	t->control = c;
	t->work.run = tidy_run;
	t->work.done = tidy_done;
	if (r->hyperloop_ip)
		t->hyperloop_ip = mem_strdup(r->hyperloop_ip);
	else if (older && older->hyperloop_ip)
		t->hyperloop_ip = mem_strdup(older->hyperloop_ip);
	if (c->ca_bundle)
		t->ca_bundle = mem_strdup(c->ca_bundle);
	tidy_free(older);
	c->tidy_waiting = t;
	tidy_next(c);
}
