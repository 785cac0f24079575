/*
 * POST /init: an orchestrator tells the sandbox who it is and who may use it, after its start and
 * after each resume. In the order of the functions:
 *
 *	body → parse → wait for the turn → authorise → apply → worker → thaw → answer → tidy
 *
 * One call runs at a time. One whose client gave up while it waited is dropped; one that runs is
 * carried to its end, for half an initialisation helps nobody.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/budget.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/work.h"
#include "envd/control/auth.h"
#include "envd/control/ca_bundle.h"
#include "envd/control/clock.h"
#include "envd/control/control.h"
#include "envd/control/freezer.h"
#include "envd/control/hosts.h"
#include "envd/control/init_request.h"
#include "envd/control/mmds.h"
#include "envd/control/mmds_route.h"
#include "envd/control/mounts.h"
#include "envd/version.h"
#include "rpc/http/router.h"
#include "rpc/http/server.h"
#include "rpc/http/stream.h"

#define EVENTS_HOST "events.e2b.local"
#define HOSTS_PATH  "/etc/hosts"

struct init_call {
	struct control *control;
	struct stream *stream; /* a reference */
	char *body;	       /* wiped when the call ends: it holds the token */
	size_t body_bytes, body_room;
	struct init_request request;
	bool route_repaired;
	bool applies; /* its timestamp is not older than the newest */

	/* For the worker. */
	struct work work;
	char *ca_bundle;   /* to install, normalised */
	char *ca_previous; /* to take out */
	bool ca_installed;
	bool failed;
	struct error err;
	size_t n_mounted; /* of the request's mounts */

	TAILQ_ENTRY(init_call) link;
};

static void start_next(struct control *c);
static void authorise(struct init_call *call);

/* ---- its end ---- */

static void call_free(struct init_call *call)
{
	if (call->body)
		explicit_bzero(call->body, call->body_room);
	free(call->body);
	free(call->ca_bundle);
	free(call->ca_previous);
	stream_unref(call->stream);
}

static void reply_text(struct init_call *call, unsigned status, const char *text)
{
	stream_reply(call->stream, status, "text/plain; charset=utf-8", text, strlen(text));
}

/* The call that ran is over: the next one has its turn. */
static void finish(struct init_call *call)
{
	struct control *c = call->control;

	c->running = NULL;
	call_free(call);
	start_next(c);
}

/* ---- tidying: what the answer does not wait for ---- */

struct tidy {
	struct work work;
	struct control *control;
	char *hyperloop_ip; /* NULL: none */
	char *ca_bundle;    /* NULL: none */
	bool hosts_set;
};

static void tidy_run(struct work *work)
{
	struct tidy *t = container_of(work, struct tidy, work);
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
	struct tidy *t = container_of(work, struct tidy, work);
	char *url;

	if (t->hosts_set) {
		url = mem_alloc(strlen(t->hyperloop_ip) + sizeof("http://"));
		strcpy(url, "http://");
		strcat(url, t->hyperloop_ip);
		context_env_set(t->control->context, "E2B_EVENTS_ADDRESS", url, true);
		free(url);
	}
	free(t->hyperloop_ip);
	free(t->ca_bundle);
	free(t);
}

static void tidy_start(struct init_call *call)
{
	const struct init_request *r = &call->request;
	struct tidy *t;

	if (!r->hyperloop_ip && !call->ca_bundle)
		return;
	t = mem_zalloc(sizeof(*t));
	t->control = call->control;
	t->work.run = tidy_run;
	t->work.done = tidy_done;
	t->hyperloop_ip = r->hyperloop_ip ? mem_strdup(r->hyperloop_ip) : NULL;
	t->ca_bundle = call->ca_bundle ? mem_strdup(call->ca_bundle) : NULL;
	work_submit(call->control->control_workers, &t->work);
}

/* ---- the answer ---- */

static void answer(struct init_call *call)
{
	struct control *c = call->control;

	if (call->failed) {
		log_error("init: %s", call->err.message);
		reply_text(call, 400, call->err.message);
	} else {
		c->initialized = true;
		if (c->mmds)
			mmds_poll(c->mmds, MMDS_REPOLL_MS);
		stream_header(call->stream, "Cache-Control", "no-store");
		stream_reply(call->stream, 204, NULL, NULL, 0);
	}
	if (call->applies)
		tidy_start(call);
	finish(call);
}

/* Whatever the timestamp said and whatever failed: an authorised /init thaws. */
static void thawed(void *arg, const struct thaw_result *result)
{
	struct init_call *call = arg;

	if (result->audit[0])
		stream_header(call->stream, "X-Envd-Freeze-Audit", result->audit);
	answer(call);
}

static void thaw(struct init_call *call)
{
	struct control *c = call->control;

	freezer_thaw(c->freezer, &(struct thaw_request){.audit = true}, thawed, call);
}

/* ---- what can block: certificates, then mounts ---- */

/* A bundle installed by a run before this one left its copy: that is the previous one. */
static char *read_kept_bundle(void)
{
	char *text;

	if (fd_read_file(AT_FDCWD, CA_KEPT_PATH, CA_BUNDLE_MAX_BYTES, &text, NULL) < 0)
		return NULL;
	return text;
}

static void apply_run(struct work *work)
{
	struct init_call *call = container_of(work, struct init_call, work);
	const struct init_request *r = &call->request;
	uint64_t deadline_ms, now;
	size_t i;

	if (call->ca_bundle) {
		if (!call->ca_previous)
			call->ca_previous = read_kept_bundle();
		if (call->ca_previous && strcmp(call->ca_previous, call->ca_bundle) == 0)
			call->ca_previous[0] = '\0';
		call->failed = ca_bundle_install(CA_BUNDLE_PATH, call->ca_bundle, call->ca_previous,
						 &call->err) < 0;
		call->ca_installed = !call->failed;
	}
	deadline_ms = clock_monotonic_ms() + MOUNTS_TIMEOUT_MS;
	for (i = 0; i < r->n_mounts && !call->failed; i++) {
		if (!r->mounts[i].nfs_target)
			continue;
		now = clock_monotonic_ms();
		call->failed = mounts_mount(r->mounts[i].nfs_target, r->mounts[i].path,
					    now < deadline_ms ? (unsigned)(deadline_ms - now) : 0,
					    &call->err) < 0;
		if (!call->failed)
			call->n_mounted = i + 1;
	}
}

static void apply_done(struct work *work)
{
	struct init_call *call = container_of(work, struct init_call, work);
	const struct init_request *r = &call->request;
	struct control *c = call->control;
	size_t i;

	if (call->ca_installed) {
		free(c->ca_bundle);
		c->ca_bundle = mem_strdup(call->ca_bundle);
	}
	for (i = 0; i < call->n_mounted; i++)
		if (r->mounts[i].nfs_target)
			mounts_remember(c->mounts, r->mounts[i].path, r->lifecycle_id);
	thaw(call);
}

/* Sets aside what is done already. True: a worker is needed. */
static bool prepare_worker(struct init_call *call)
{
	struct init_request *r = &call->request;
	struct control *c = call->control;
	bool needed = false;
	size_t i;

	if (r->ca_bundle && *r->ca_bundle) {
		call->ca_bundle = ca_bundle_normalize(r->ca_bundle);
		if (c->ca_bundle && strcmp(c->ca_bundle, call->ca_bundle) == 0) {
			free(call->ca_bundle);
			call->ca_bundle = NULL;
		} else {
			call->ca_previous = c->ca_bundle ? mem_strdup(c->ca_bundle) : NULL;
			needed = true;
		}
	}
	for (i = 0; i < r->n_mounts; i++) {
		if (mounts_wanted(c->mounts, r->mounts[i].path, r->lifecycle_id))
			needed = true;
		else
			r->mounts[i].nfs_target = NULL; /* left alone */
	}
	return needed;
}

/* ---- what takes no time ---- */

static void apply_vars(struct control *c, const struct init_request *r)
{
	size_t i;

	if (!r->has_vars)
		return;
	context_env_clear_user(c->context);
	for (i = 0; i < r->n_vars; i++)
		context_env_set(c->context, r->vars[i].name, r->vars[i].value, false);
	log_debug("init: %zu variables", r->n_vars);
}

/*
 * After a resume the connections from before may have nobody at their other end: the host they came
 * from is another, or its sockets are gone.
 */
static void apply_lifecycle(struct control *c, const struct init_request *r)
{
	const char *lifecycle = r->lifecycle_id ? r->lifecycle_id : "";

	if (c->lifecycle && strcmp(c->lifecycle, lifecycle) != 0)
		server_suspect_connections(c->server);
	free(c->lifecycle);
	c->lifecycle = mem_strdup(lifecycle);
}

/* details 20: the order of the fields. */
static void apply(struct init_call *call)
{
	const struct init_request *r = &call->request;
	struct control *c = call->control;

	if (r->has_timestamp)
		clock_correct(r->timestamp_ns);
	apply_vars(c, r);
	if (r->token)
		token_set(&c->token, r->token, r->token_bytes);
	else
		token_clear(&c->token);
	if (r->default_user && *r->default_user)
		context_set_default_user(c->context, r->default_user);
	if (r->default_workdir && *r->default_workdir)
		context_set_default_workdir(c->context, r->default_workdir);
	apply_lifecycle(c, r);
	if (!prepare_worker(call)) {
		thaw(call);
		return;
	}
	call->work.run = apply_run;
	call->work.done = apply_done;
	work_submit(c->control_workers, &call->work);
}

static void authorised(struct init_call *call)
{
	const struct init_request *r = &call->request;
	struct control *c = call->control;

	call->applies = !r->has_timestamp || !c->has_newest || r->timestamp_ns >= c->newest_ns;
	if (call->applies && r->has_timestamp) {
		c->has_newest = true;
		c->newest_ns = r->timestamp_ns;
	}
	if (call->applies)
		apply(call);
	else
		thaw(call);
}

/* ---- authorisation ---- */

static void decide(struct init_call *call, enum auth_sent sent, enum auth_mmds mmds)
{
	enum auth_verdict verdict = auth_decide(token_is_set(&call->control->token), sent, mmds);

	if (verdict == AUTH_ALLOWED) {
		authorised(call);
		return;
	}
	log_warn("init: %s", auth_verdict_text(verdict));
	reply_text(call, 401, auth_verdict_text(verdict));
	finish(call);
}

static void route_repaired(void *arg)
{
	authorise(arg);
}

/* The metadata service said what token it knows, or (NULL) nothing. */
static void mmds_answered(void *arg, const struct mmds_answer *mmds)
{
	struct init_call *call = arg;
	const struct init_request *r = &call->request;

	if (!mmds && !call->route_repaired) {
		/* A rule of the guest's own may stand before the service's address. */
		call->route_repaired = true;
		mmds_route_repair(call->control->control_workers, route_repaired, call);
		return;
	}
	decide(call, r->token ? AUTH_SENT_OTHER : AUTH_SENT_NONE,
	       mmds ? auth_compare_hash(mmds->token_hash, r->token, r->token_bytes)
		    : AUTH_MMDS_NONE);
}

static void authorise(struct init_call *call)
{
	const struct init_request *r = &call->request;
	struct control *c = call->control;

	if (r->token && token_equals(&c->token, r->token, r->token_bytes))
		decide(call, AUTH_SENT_CURRENT, AUTH_MMDS_NONE);
	else if (!c->mmds)
		decide(call, r->token ? AUTH_SENT_OTHER : AUTH_SENT_NONE, AUTH_MMDS_NONE);
	else
		mmds_ask(c->mmds, mmds_answered, call);
}

/* ---- the turn ---- */

static void start_next(struct control *c)
{
	struct init_call *call = TAILQ_FIRST(&c->waiting);

	if (c->running || !call)
		return;
	TAILQ_REMOVE(&c->waiting, call, link);
	c->running = call;
	authorise(call);
}

/* ---- the request ---- */

/* Moves what came into memory of our own, and wipes it where it was. */
static void init_body(struct stream *s, struct evbuffer *data)
{
	struct init_call *call = stream_data(s);
	size_t n = evbuffer_get_length(data), taken;
	struct evbuffer_iovec piece;
	size_t room = call->body_room;
	char *larger;

	if (call->body_bytes + n > INIT_BODY_MAX_BYTES) {
		stream_reply_error(s, 413, "the body is too large");
		call_free(call);
		return;
	}
	if (call->body_bytes + n > room) {
		room = (call->body_bytes + n) * 2;
		room = room < INIT_BODY_MAX_BYTES ? room : INIT_BODY_MAX_BYTES;
		if (!budget_share_take(stream_share(s), room - call->body_room)) {
			stream_reply_error(s, 503, "too many bytes wait in the daemon");
			call_free(call);
			return;
		}
		call->body_room = room;
		larger = mem_alloc(call->body_room);
		if (call->body) {
			memcpy(larger, call->body, call->body_bytes);
			explicit_bzero(call->body, call->body_bytes);
			free(call->body);
		}
		call->body = larger;
	}
	while (evbuffer_peek(data, -1, NULL, &piece, 1) > 0 && piece.iov_len) {
		taken = piece.iov_len;
		memcpy(call->body + call->body_bytes, piece.iov_base, taken);
		explicit_bzero(piece.iov_base, taken);
		call->body_bytes += taken;
		evbuffer_drain(data, taken);
	}
}

static void init_body_end(struct stream *s)
{
	struct init_call *call = stream_data(s);
	struct control *c = call->control;
	struct error err;

	if (init_request_parse(call->body, call->body_bytes, stream_arena(s), &call->request,
			       &err) < 0) {
		log_warn("init: %s", err.message);
		stream_reply(s, 400, NULL, NULL, 0);
		call_free(call);
		return;
	}
	TAILQ_INSERT_TAIL(&c->waiting, call, link);
	start_next(c);
}

static void init_gone(struct stream *s)
{
	struct init_call *call = stream_data(s), *waiting;
	struct control *c = call->control;

	if (c->running == call)
		return;
	TAILQ_FOREACH (waiting, &c->waiting, link)
		if (waiting == call)
			break;
	if (waiting)
		TAILQ_REMOVE(&c->waiting, call, link);
	call_free(call);
}

static void init(struct stream *s, void *arg)
{
	static const struct stream_handler handler = {
		.body = init_body,
		.body_end = init_body_end,
		.gone = init_gone,
	};
	struct init_call *call = arena_zalloc(stream_arena(s), sizeof(*call));

	call->control = arg;
	call->stream = stream_ref(s);
	stream_set_secret(s);
	stream_header(s, "X-Envd-Version", version_reported());
	if (call->control->handover)
		stream_header(s, "X-Envd-Handover", call->control->handover);
	stream_set_handler(s, &handler, call);
}

void ctl_init_register(struct control *c, struct router *router)
{
	router_add(router, "POST", "/init", init, c);
}
