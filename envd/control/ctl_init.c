/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /init: after a start and after each resume, an orchestrator sends the sandbox its identity,
 * its access token and its settings.
 *
 *	reading → waiting → authorising → applying → thawing → over
 *
 * One call runs at a time, from `authorising` on; the others wait in the order in which their
 * bodies were completed. A waiting call is dropped if its client disconnects. A running call is
 * completed even then, because a partial initialisation would leave the sandbox in an undefined
 * state; the call counts a thaw that its client did not observe (X-Envd-Init-Unobserved).
 *
 * Every step ends in bounded time, even if a worker hangs. Otherwise no later /init would run, and
 * none would thaw the workload.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/audit.h"
#include "base/budget.h"
#include "base/log.h"
#include "base/mem.h"
#include "envd/control/auth.h"
#include "envd/control/control.h"
#include "envd/control/cpus.h"
#include "envd/control/freezer.h"
#include "envd/control/init_apply.h"
#include "envd/control/init_request.h"
#include "envd/control/lifecycle.h"
#include "envd/control/mmds.h"
#include "envd/control/mmds_route.h"
#include "envd/version.h"
#include "rpc/codec/json.h"
#include "rpc/http/router.h"
#include "rpc/http/stream.h"

enum init_state {
	INIT_READING,
	INIT_WAITING,
	INIT_AUTHORISING,
	INIT_APPLYING,
	INIT_THAWING,
	INIT_OVER,
};

struct init_call {
	struct control *control;
	struct stream *stream; /* a reference */
	enum init_state state;
	uint64_t generation; /* of the freezer, when the request arrived */
	char *body;	     /* wiped when the call ends: it holds the token */
	size_t body_bytes, body_room;
	uint64_t read_ms; /* time at which the body was complete */
	struct init_request request;
	bool client_gone;
	bool route_repaired;
	bool applies; /* its timestamp is not older than the newest one */
	struct init_applied applied;
	TAILQ_ENTRY(init_call) link; /* while it waits */
};

static void init(struct stream *s, void *arg);

void ctl_init_register(struct control *c, struct router *router)
{
	router_add(router, "POST", "/init", init, c);
}

static void init_body(struct stream *s, struct evbuffer *data);
static void init_body_end(struct stream *s);
static void init_half_closed(struct stream *s);
static void init_gone(struct stream *s);
static void next_call(struct control *c);
static void authorise(struct init_call *call);
static void authorised(struct init_call *call);
static void applied(void *arg, const struct init_applied *result);
static void thaw(struct init_call *call);
static void thawed(void *arg, const struct thaw_result *result);
static void answer(struct init_call *call);

static void init_set_state(struct init_call *call, enum init_state state)
{
	static const char *const names[] = {"reading",	"waiting", "authorising",
					    "applying", "thawing", "over"};

	log_debug("/init %ju: %s -> %s", (uintmax_t)stream_id(call->stream), names[call->state],
		  names[state]);
	call->state = state;
}

/* ---- the request ---- */

static void init(struct stream *s, void *arg)
{
	static const struct stream_handler handler = {
		.body = init_body,
		.body_end = init_body_end,
		.half_closed = init_half_closed,
		.gone = init_gone,
	};
	struct init_call *call = arena_zalloc(stream_arena(s), sizeof(*call));
	struct control *c = arg;

	stream_header(s, "X-Envd-Version", version_reported());
	stream_header(s, "X-Envd-Memory", c->memory_report);
	if (c->handover)
		stream_header(s, "X-Envd-Handover", c->handover);
	call->control = c;
	call->stream = stream_ref(s);
	call->generation = freezer_generation(c->freezer);
	stream_set_secret(s);
	stream_set_handler(s, &handler, call);
}

/* Ends the call and wipes the body. The stream returns the share of the budget. */
static void call_end(struct init_call *call)
{
	init_set_state(call, INIT_OVER);
	if (call->body)
		explicit_bzero(call->body, call->body_room);
	free(call->body);
	call->body = NULL;
	stream_unref(call->stream);
}

static void log_init(const struct init_call *call, enum log_level level, const char *text)
{
	log_event(&(struct log_line){.level = level, .request = stream_log_request(call->stream)},
		  "init: %s", text);
}

/* `error` is NULL after a success. */
static void audit_init(const struct init_call *call, const char *error)
{
	audit_event(&(struct audit_event){
		.name = "init",
		.request = stream_log_request(call->stream),
		.asked_by = stream_user(call->stream),
		LOG_FIELDS(LOG_TEXT("lifecycle_id", call->request.lifecycle_id),
			   LOG_BOOL("sets_token", call->request.token != NULL),
			   LOG_TEXT("default_user", call->request.default_user),
			   LOG_TEXT("error", error))});
}

static void refuse(struct init_call *call, unsigned status, const char *text)
{
	stream_reply(call->stream, status, "text/plain; charset=utf-8", text, strlen(text));
}

/*
 * Makes room for n bytes and wipes the old memory. The room is charged to the class
 * UNAUTHENTICATED, because /init needs no token. This class does not charge the first 4 KiB of a
 * share, so the budget never refuses a small /init. Returns false after refusing the request.
 */
static bool body_reserve(struct init_call *call, size_t n)
{
	struct budget_share *share = stream_share(call->stream);
	size_t room = n * 2 < INIT_BODY_MAX_BYTES ? n * 2 : INIT_BODY_MAX_BYTES;
	char *larger;

	if (n > INIT_BODY_MAX_BYTES) {
		stream_reply_error(call->stream, 413, "the body is too large");
		return false;
	}
	if (n <= call->body_room)
		return true;
	if (!budget_share_take(share, room - call->body_room)) {
		stream_reply_error(call->stream, 503, "too many requests are being read");
		return false;
	}
	larger = mem_alloc(room);
	if (call->body) {
		memcpy(larger, call->body, call->body_bytes);
		explicit_bzero(call->body, call->body_bytes);
		free(call->body);
	}
	call->body = larger;
	call->body_room = room;
	return true;
}

/* Moves the bytes to the call's memory and wipes them in the evbuffer. */
static void init_body(struct stream *s, struct evbuffer *data)
{
	struct init_call *call = stream_data(s);
	struct evbuffer_iovec piece;

	if (!body_reserve(call, call->body_bytes + evbuffer_get_length(data))) {
		call_end(call);
		return;
	}
	while (evbuffer_peek(data, -1, NULL, &piece, 1) > 0 && piece.iov_len) {
		memcpy(call->body + call->body_bytes, piece.iov_base, piece.iov_len);
		explicit_bzero(piece.iov_base, piece.iov_len);
		call->body_bytes += piece.iov_len;
		evbuffer_drain(data, piece.iov_len);
	}
}

static void init_body_end(struct stream *s)
{
	struct init_call *call = stream_data(s);
	struct control *c = call->control;
	struct error err;

	call->read_ms = clock_monotonic_ms();
	if (init_request_parse(call->body, call->body_bytes, stream_arena(s), &call->request,
			       &err) < 0) {
		log_init(call, LOG_LEVEL_ERROR, err.message);
		stream_reply(s, 400, NULL, NULL, 0);
		call_end(call);
		return;
	}
	init_set_state(call, INIT_WAITING);
	TAILQ_INSERT_TAIL(&c->waiting, call, link);
	next_call(c);
}

/*
 * A client that closes its connection sends a FIN first; a reset follows only when the daemon
 * writes to the connection. The reference treats the FIN as a disconnect. Therefore a waiting call
 * is dropped: its orchestrator gave up and has sent another /init since.
 */
static void init_half_closed(struct stream *s)
{
	struct init_call *call = stream_data(s);

	call->client_gone = true;
	if (call->state != INIT_WAITING)
		return;
	TAILQ_REMOVE(&call->control->waiting, call, link);
	refuse(call, 503, "the client has gone");
	call_end(call);
}

static void init_gone(struct stream *s)
{
	struct init_call *call = stream_data(s);

	call->client_gone = true;
	if (call->state == INIT_WAITING)
		TAILQ_REMOVE(&call->control->waiting, call, link);
	if (call->state == INIT_READING || call->state == INIT_WAITING)
		call_end(call);
}

/* ---- the turn ---- */

static void next_call(struct control *c)
{
	struct init_call *call = TAILQ_FIRST(&c->waiting);

	if (c->running || !call)
		return;
	TAILQ_REMOVE(&c->waiting, call, link);
	c->running = call;
	init_set_state(call, INIT_AUTHORISING);
	authorise(call);
}

/* Ends the running call and starts the next one. */
static void finish(struct init_call *call)
{
	struct control *c = call->control;

	c->running = NULL;
	call_end(call);
	next_call(c);
}

/* ---- authorisation ---- */

static void mmds_answered(void *arg, const struct mmds_answer *mmds);
static void decide(struct init_call *call, enum auth_sent sent, enum auth_mmds mmds);

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

static void route_repaired(void *arg)
{
	authorise(arg);
}

/* Handles the metadata service's answer; NULL: there was none. */
static void mmds_answered(void *arg, const struct mmds_answer *mmds)
{
	struct init_call *call = arg;
	const struct init_request *r = &call->request;

	if (!mmds && !call->route_repaired) {
		/* A NAT rule of the guest may redirect the service's address. */
		call->route_repaired = true;
		mmds_route_repair(call->control->mmds_route, route_repaired, call);
		return;
	}
	decide(call, r->token ? AUTH_SENT_OTHER : AUTH_SENT_NONE,
	       mmds ? auth_compare_hash(mmds->token_hash, r->token, r->token_bytes)
		    : AUTH_MMDS_NONE);
}

static void decide(struct init_call *call, enum auth_sent sent, enum auth_mmds mmds)
{
	enum auth_verdict verdict = auth_decide(token_is_set(&call->control->token), sent, mmds);

	if (verdict == AUTH_ALLOWED) {
		authorised(call);
		return;
	}
	log_init(call, LOG_LEVEL_WARN, auth_verdict_text(verdict));
	audit_init(call, auth_verdict_text(verdict));
	refuse(call, 401, auth_verdict_text(verdict));
	finish(call);
}

/*
 * The sender read its clock before the call waited in the queue. Adds the time in the queue to the
 * timestamp; otherwise the clock would be set back by this time. Adds whole milliseconds, so that
 * the same timestamp, sent twice, normally yields the same value and not an older one by a rounding
 * error.
 */
static void correct_timestamp(struct init_call *call)
{
	uint64_t waited_ms = clock_monotonic_ms() - call->read_ms;
	struct init_request *r = &call->request;

	if (!r->has_timestamp)
		return;
	if (__builtin_add_overflow(r->timestamp_ns, (int64_t)waited_ms * 1000000, &r->timestamp_ns))
		r->timestamp_ns = INT64_MAX;
	stream_headerf(call->stream, "X-Envd-Init-Clock-Correction", "%" PRIu64, waited_ms);
	log_event(&(struct log_line){.level = LOG_LEVEL_INFO,
				     .request = stream_log_request(call->stream),
				     LOG_FIELDS(LOG_NUMBER("clock_correction", waited_ms))},
		  "init: waited %" PRIu64 " ms, which is added to the timestamp", waited_ms);
}

static void authorised(struct init_call *call)
{
	struct init_request *r = &call->request;
	struct control *c = call->control;

	init_set_state(call, INIT_APPLYING);
	if (r->skips_thaw)
		stream_header(call->stream, "X-Envd-Thaw", "skip");
	correct_timestamp(call);
	call->applied.status = 204;
	call->applies = !r->has_timestamp || !c->has_newest || r->timestamp_ns >= c->newest_ns;
	if (!call->applies) {
		thaw(call);
		return;
	}
	if (r->has_timestamp) {
		c->has_newest = true;
		c->newest_ns = r->timestamp_ns;
	}
	r->log = stream_log_request(call->stream);
	init_apply(c, r, applied, call);
}

static void applied(void *arg, const struct init_applied *result)
{
	struct init_call *call = arg;

	call->applied = *result;
	if (result->cpus_error.code)
		log_event(
			&(struct log_line){.level = LOG_LEVEL_WARN,
					   .request = stream_log_request(call->stream),
					   LOG_FIELDS(LOG_TEXT("error", result->cpus_error.message),
						      LOG_NUMBER("cpu_count", call->request.cpus))},
			"init: %s", result->cpus_error.message);
	thaw(call);
}

/* ---- the thaw: also if the timestamp was stale or a step failed ---- */

static void thaw(struct init_call *call)
{
	struct thaw_request request = {.audit = true, .generation = call->generation};

	init_set_state(call, INIT_THAWING);
	if (call->request.skips_thaw)
		answer(call);
	else
		freezer_thaw(call->control->freezer, &request, thawed, call);
}

static void thawed(void *arg, const struct thaw_result *result)
{
	struct init_call *call = arg;
	struct control *c = call->control;
	uint64_t generation = freezer_generation(c->freezer);

	if (result->audit[0])
		stream_header(call->stream, "X-Envd-Freeze-Audit", result->audit);
	if (result->withheld) {
		log_event(
			&(struct log_line){
				.level = LOG_LEVEL_WARN,
				.request = stream_log_request(call->stream),
				LOG_FIELDS(LOG_NUMBER("entry_freeze_generation", call->generation),
					   LOG_NUMBER("current_freeze_generation", generation))},
			"init: nothing is thawed, because a freeze was requested after this /init");
	} else if (call->client_gone) {
		if (c->unobserved_generation != generation)
			c->unobserved = 0;
		c->unobserved_generation = generation;
		c->unobserved++;
	}
	if (!result->withheld)
		lifecycle_thawed(c->resume);
	answer(call);
}

/* ---- the answer ---- */

static void put_json_header(struct init_call *call, const char *name, struct json_writer *out)
{
	json_append(out, "", 1);
	stream_header(call->stream, name, out->data);
	json_writer_clear(out);
}

static void put_defaults(struct init_call *call)
{
	const struct context *context = call->control->context;
	struct json_writer out;

	json_writer_init(&out, 0, 128);
	json_put_object(&out);
	json_put_name(&out, "user");
	json_put_string(&out, context->default_user);
	if (context->default_workdir) {
		json_put_name(&out, "workdir");
		json_put_string(&out, context->default_workdir);
	}
	json_put_name(&out, "fallback");
	json_put_bool(&out, !context->user_delivered);
	json_put_object_end(&out);
	put_json_header(call, "X-Envd-Defaults", &out);
	/* The daemon before may have had a default user that its state does not name. */
	if (call->control->handover && !context->user_delivered)
		log_event(&(struct log_line){.level = LOG_LEVEL_WARN,
					     .request = stream_log_request(call->stream),
					     LOG_FIELDS(LOG_TEXT("user", context->default_user))},
			  "init: no default user was delivered since the upgrade: it is %s",
			  context->default_user);
}

static void put_cpus(struct init_call *call)
{
	struct cpus_figures figures;
	struct json_writer out;

	cpus_read(call->control->cpus, &figures);
	json_writer_init(&out, 0, 128);
	json_put_object(&out);
	json_put_name(&out, "online");
	json_put_uint(&out, figures.online);
	json_put_name(&out, "possible");
	json_put_uint(&out, figures.possible);
	json_put_name(&out, "target");
	json_put_uint(&out, figures.target);
	if (call->applied.cpus_error.code) {
		json_put_name(&out, "rejected");
		json_put_string(&out, call->applied.cpus_error.message);
	}
	json_put_object_end(&out);
	put_json_header(call, "X-Envd-Cpus", &out);
}

/*
 * Reports the count to a client that is still connected, and resets it. A freeze resets the count,
 * too.
 */
static void put_unobserved(struct init_call *call)
{
	struct control *c = call->control;

	if (c->unobserved_generation != freezer_generation(c->freezer))
		c->unobserved = 0;
	if (call->client_gone)
		return;
	stream_headerf(call->stream, "X-Envd-Init-Unobserved", "%u", c->unobserved);
	c->unobserved = 0;
}

static void answer(struct init_call *call)
{
	struct control *c = call->control;

	audit_init(call, call->applied.status == 204 ? NULL : call->applied.err.message);
	if (call->applied.status != 204) {
		log_init(call, LOG_LEVEL_ERROR, call->applied.err.message);
		refuse(call, call->applied.status, call->applied.err.message);
	} else {
		c->initialized = true;
		if (c->mmds)
			mmds_poll(c->mmds, MMDS_REPOLL_MS);
		put_unobserved(call);
		put_defaults(call);
		put_cpus(call);
		stream_header(call->stream, "Cache-Control", "no-store");
		stream_reply(call->stream, 204, NULL, NULL, 0);
	}
	if (call->applies)
		init_tidy(c, &call->request);
	finish(call);
}
