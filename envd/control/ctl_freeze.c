/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /freeze freezes the workload before a snapshot. POST /unfreeze thaws it if the snapshot was
 * abandoned; after a resume, /init thaws it.
 *
 *	freeze:   read_request → freezer (pre-freeze hooks, drain, sweep, wait)
 *	          → frozen: flush the log → answer
 *	unfreeze: freezer → thawed: answer
 *
 * After the freeze, the log's queue is flushed for the rest of maxWaitMs and then emptied: a clone
 * that resumes from the snapshot must not send the lines of its parent again.
 */
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "base/audit.h"
#include "base/decimal.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "envd/control/control.h"
#include "envd/control/freezer.h"
#include "envd/control/lifecycle.h"
#include "envd/control/log_export.h"
#include "rpc/codec/json.h"
#include "rpc/http/router.h"
#include "rpc/http/stream.h"
#include "rpc/http/uri.h"

/* The maximum time that the response waits for the log collector. */
#define FLUSH_MAX_MS 2000

enum freeze_state {
	FREEZE_FREEZING,
	FREEZE_FLUSHING,
	FREEZE_OVER,
};

struct freeze_call {
	struct control *control;
	struct stream *stream; /* a reference */
	enum freeze_state state;
	struct freeze_job *job; /* in FREEZE_FREEZING */
	uint64_t began_ms;
	int64_t max_wait_ms; /* above 0: the response contains a report */
	struct freeze_result result;
};

static void freeze(struct stream *s, void *arg);
static void unfreeze(struct stream *s, void *arg);

void ctl_freeze_register(struct control *c, struct router *router)
{
	router_add(router, "POST", "/freeze", freeze, c);
	router_add(router, "POST", "/unfreeze", unfreeze, c);
}

static void freeze_set_state(struct freeze_call *call, enum freeze_state state)
{
	static const char *const names[] = {"freezing", "flushing", "over"};

	log_debug("/freeze %ju: %s -> %s", (uintmax_t)stream_id(call->stream), names[call->state],
		  names[state]);
	call->state = state;
}

/* ---- parameters ---- */

static void refuse(struct stream *s, const char *name, const char *why)
{
	char *text =
		arena_printf(stream_arena(s), "Invalid format for parameter %s: %s\n", name, why);

	stream_header(s, "X-Content-Type-Options", "nosniff");
	stream_reply(s, 400, "text/plain; charset=utf-8", text, strlen(text));
}

/*
 * Reads the value of a parameter; NULL if absent. If it occurs twice, refuses the request and
 * returns false.
 */
static bool get_parameter(struct stream *s, const char *name, const char **ret)
{
	const char *query = stream_head_in(s)->query;
	size_t n;

	*ret = NULL;
	if (uri_query_get(stream_arena(s), query, name, ret, &n) <= 1)
		return true;
	refuse(s, name, "it may be given once only");
	return false;
}

/* As get_parameter, for a number. An absent parameter leaves *ret unchanged. */
static bool get_number(struct stream *s, const char *name, int64_t *ret)
{
	const char *text;

	if (!get_parameter(s, name, &text))
		return false;
	if (!text || decimal_parse_signed(text, ret))
		return true;
	refuse(s, name, "not a whole number");
	return false;
}

static bool read_request(struct stream *s, struct freeze_request *ret)
{
	const char *mode;

	*ret = (struct freeze_request){.prepares = true};
	if (!get_number(s, "maxWaitMs", &ret->max_wait_ms) || !get_parameter(s, "mode", &mode) ||
	    !get_number(s, "maxCgroups", &ret->max_cgroups))
		return false;
	ret->hierarchy = mode && strcmp(mode, "hierarchy") == 0;
	return true;
}

/* ---- freeze ---- */

static void frozen(void *arg, const struct freeze_result *result);
static void flushed(void *arg, bool complete);
static void freeze_gone(struct stream *s);
static void reply_report(struct stream *s, const struct freeze_result *r);

static void freeze(struct stream *s, void *arg)
{
	static const struct stream_handler handler = {.gone = freeze_gone};
	struct freeze_call *call = arena_zalloc(stream_arena(s), sizeof(*call));
	struct freeze_request request;

	if (!read_request(s, &request))
		return;
	call->control = arg;
	call->stream = stream_ref(s);
	call->began_ms = clock_monotonic_ms();
	call->max_wait_ms = request.max_wait_ms;
	stream_set_handler(s, &handler, call);
	request.operation = stream_log_request(s).operation;
	call->job = freezer_freeze(call->control->freezer, &request, frozen, call);
}

/* Returns the time for flushing the log: the rest of the wait that the client allowed. */
static unsigned flush_ms(const struct freeze_call *call)
{
	uint64_t spent_ms = clock_monotonic_ms() - call->began_ms;

	if (call->max_wait_ms <= 0 || spent_ms >= (uint64_t)call->max_wait_ms)
		return 0;
	if ((uint64_t)call->max_wait_ms - spent_ms > FLUSH_MAX_MS)
		return FLUSH_MAX_MS;
	return (unsigned)((uint64_t)call->max_wait_ms - spent_ms);
}

static void frozen(void *arg, const struct freeze_result *result)
{
	struct freeze_call *call = arg;

	call->result = *result;
	audit_event(&(struct audit_event){
		.name = "freeze",
		.request = stream_log_request(call->stream),
		.asked_by = stream_user(call->stream),
		LOG_FIELDS(LOG_TEXT("mode", result->hierarchy ? "hierarchy" : "legacy"),
			   LOG_NUMBER("frozen", result->frozen),
			   LOG_NUMBER("failed", result->failed))});
	freeze_set_state(call, FREEZE_FLUSHING);
	if (call->control->log_export)
		log_export_flush(call->control->log_export, flush_ms(call), flushed, call);
	else
		flushed(call, true);
}

static void flushed(void *arg, bool complete)
{
	struct freeze_call *call = arg;

	if (!complete)
		log_event(
			&(struct log_line){.level = LOG_LEVEL_WARN,
					   .request = stream_log_request(call->stream),
					   LOG_FIELDS(LOG_TEXT("error", "deadline exceeded"))},
			"freeze: log lines were dropped: the collector did not take them in time");
	freeze_set_state(call, FREEZE_OVER);
	if (call->max_wait_ms > 0)
		reply_report(call->stream, &call->result);
	else
		stream_reply(call->stream, 204, NULL, NULL, 0);
	stream_unref(call->stream);
}

static void put(struct json_writer *out, const char *name, unsigned value)
{
	json_put_name(out, name);
	json_put_uint(out, value);
}

static void reply_report(struct stream *s, const struct freeze_result *r)
{
	struct json_writer out;

	json_writer_init(&out, 0, 256);
	json_put_object(&out);
	put(&out, "allowlisted", r->allowlisted);
	put(&out, "failed", r->failed);
	put(&out, "frozen", r->frozen);
	json_put_name(&out, "mode");
	json_put_string(&out, r->hierarchy ? "hierarchy" : "legacy");
	put(&out, "notFrozen", r->not_frozen);
	put(&out, "preFrozen", r->pre_frozen);
	put(&out, "requested", r->requested);
	put(&out, "sweepMs", r->sweep_ms);
	json_put_name(&out, "truncated");
	json_put_bool(&out, r->truncated);
	put(&out, "unobservable", r->unobservable);
	put(&out, "vanished", r->vanished);
	put(&out, "visited", r->visited);
	put(&out, "waitMs", r->wait_ms);
	json_put_object_end(&out);
	json_append(&out, "\n", 1);
	stream_header(s, "Cache-Control", "no-store");
	stream_reply(s, 200, "application/json", out.data, out.n);
	json_writer_clear(&out);
}

static void freeze_gone(struct stream *s)
{
	struct freeze_call *call = stream_data(s);

	if (call->state != FREEZE_FREEZING)
		return; /* `flushed` will end the call */
	freezer_give_up(call->job);
	freeze_set_state(call, FREEZE_OVER);
	stream_unref(call->stream);
}

/* ---- unfreeze ---- */

static void thawed(void *arg, const struct thaw_result *result);

struct unfreeze_call {
	struct control *control;
	struct stream *stream; /* a reference */
};

/* The thaw is completed even if the client disconnects. */
static void unfreeze(struct stream *s, void *arg)
{
	struct control *c = arg;

	struct unfreeze_call *call = arena_zalloc(stream_arena(s), sizeof(*call));

	call->stream = stream_ref(s);
	call->control = c;
	freezer_thaw(c->freezer, &(struct thaw_request){0}, thawed, call);
}

static void thawed(void *arg, const struct thaw_result *result)
{
	struct unfreeze_call *call = arg;
	struct stream *s = call->stream;

	lifecycle_thawed(call->control->resume);
	audit_event(&(struct audit_event){
		.name = "unfreeze",
		.request = stream_log_request(s),
		.asked_by = stream_user(s),
		LOG_FIELDS(LOG_TEXT("error", result->complete ? NULL : result->err.message))});
	if (result->complete) {
		stream_header(s, "Cache-Control", "no-store");
		stream_reply(s, 204, NULL, NULL, 0);
	} else {
		stream_reply_error(s, 500, result->err.message);
	}
	stream_unref(s);
}
