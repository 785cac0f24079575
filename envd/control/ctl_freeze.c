/*
 * POST /freeze, POST /unfreeze: the workload is stopped before a snapshot; or let go again, where the
 * snapshot did not come about. (After a resume /init thaws.)
 */
#include <errno.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "envd/control/control.h"
#include "envd/control/freezer.h"
#include "rpc/codec/json.h"
#include "rpc/http/router.h"
#include "rpc/http/stream.h"
#include "rpc/http/uri.h"

struct freeze_call {
	struct stream *stream;	/* a reference */
	struct freeze_job *job; /* NULL when it is over */
	bool reports;		/* the client wants to know what became of it */
};

/* ---- parameters ---- */

/* What strconv.ParseInt takes as decimal: an optional sign and digits. */
static bool parse_int(const char *text, int64_t *ret)
{
	const char *digits = text + (*text == '-' || *text == '+');
	char *end;

	if (*digits < '0' || *digits > '9')
		return false;
	errno = 0;
	*ret = strtoll(text, &end, 10);
	return errno == 0 && *end == '\0';
}

static void refuse(struct stream *s, const char *name, const char *why)
{
	char *text =
		arena_printf(stream_arena(s), "Invalid format for parameter %s: %s\n", name, why);

	stream_header(s, "X-Content-Type-Options", "nosniff");
	stream_reply(s, 400, "text/plain; charset=utf-8", text, strlen(text));
}

/* The value of a parameter, or NULL where there is none. False: refused, since it came twice. */
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

/* Leaves *ret as it is where there is none. */
static bool get_number(struct stream *s, const char *name, int64_t *ret)
{
	const char *text;

	if (!get_parameter(s, name, &text))
		return false;
	if (!text || parse_int(text, ret))
		return true;
	refuse(s, name, "not a whole number");
	return false;
}

static bool read_request(struct stream *s, struct freeze_request *ret)
{
	const char *mode;

	*ret = (struct freeze_request){0};
	if (!get_number(s, "maxWaitMs", &ret->max_wait_ms) || !get_parameter(s, "mode", &mode) ||
	    !get_number(s, "maxCgroups", &ret->max_cgroups))
		return false;
	ret->hierarchy = mode && strcmp(mode, "hierarchy") == 0;
	return true;
}

/* ---- freeze ---- */

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
	put(&out, "visited", r->visited);
	put(&out, "waitMs", r->wait_ms);
	json_put_object_end(&out);
	json_append(&out, "\n", 1);
	stream_header(s, "Cache-Control", "no-store");
	stream_reply(s, 200, "application/json", out.data, out.n);
	json_writer_clear(&out);
}

static void frozen(void *arg, const struct freeze_result *result)
{
	struct freeze_call *call = arg;

	call->job = NULL;
	if (call->reports)
		reply_report(call->stream, result);
	else
		stream_reply(call->stream, 204, NULL, NULL, 0);
	stream_unref(call->stream);
}

static void freeze_gone(struct stream *s)
{
	struct freeze_call *call = stream_data(s);

	if (!call->job)
		return;
	freezer_give_up(call->job);
	stream_unref(call->stream);
}

static void freeze(struct stream *s, void *arg)
{
	static const struct stream_handler handler = {.gone = freeze_gone};
	struct control *c = arg;
	struct freeze_call *call = arena_zalloc(stream_arena(s), sizeof(*call));
	struct freeze_request request;

	if (!read_request(s, &request))
		return;
	call->stream = stream_ref(s);
	call->reports = request.max_wait_ms > 0;
	stream_set_handler(s, &handler, call);
	call->job = freezer_freeze(c->freezer, &request, frozen, call);
}

/* ---- unfreeze ---- */

/* A thaw is carried to its end, whether anybody waits for the answer or not. */
static void thawed(void *arg, const struct thaw_result *result)
{
	struct stream *s = arg;

	if (result->complete) {
		stream_header(s, "Cache-Control", "no-store");
		stream_reply(s, 204, NULL, NULL, 0);
	} else {
		stream_reply_error(s, 500, result->err.message);
	}
	stream_unref(s);
}

static void unfreeze(struct stream *s, void *arg)
{
	struct control *c = arg;

	freezer_thaw(c->freezer, false, thawed, stream_ref(s));
}

void ctl_freeze_register(struct control *c, struct router *router)
{
	router_add(router, "POST", "/freeze", freeze, c);
	router_add(router, "POST", "/unfreeze", unfreeze, c);
}
