/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/gate.h"

#include <string.h>

#include "base/mem.h"
#include "base/user.h"
#include "rpc/call.h"
#include "rpc/context.h"
#include "rpc/http/header_value.h"
#include "rpc/http/stream.h"

/*
 * Response fields that a script of another origin may read (Fetch standard, "CORS-exposed header
 * names"). The first six are those of the reference. The rest are what a script needs to resume a
 * download and to name it: HEAD and GET /files send them.
 */
#define EXPOSED_HEADERS                                                                            \
	"Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin, Location, Cache-Control, "            \
	"X-Content-Type-Options, ETag, Content-Disposition, Content-Range, X-Envd-Offsets"

/*
 * More extension headers in one request are refused: the loop compares each name with the others,
 * and HTTP_MAX_FIELDS of them took a million comparisons. The documents name about 25 headers.
 */
#define MAX_EXTENSION_FIELDS 32

static bool check_origin(const struct gate *gate, struct stream *s);
static bool passes_closed_gate(const struct stream *s);
static bool check_extensions(struct stream *s);
static bool check_user(const struct gate *gate, struct stream *s);

static void refuse(struct stream *s, enum log_level level, const char *text)
{
	stream_set_log_members(s, &(struct stream_log_members){.failure = level});
	stream_reply_error(s, 401, text);
}

bool gate_check(struct stream *s, void *arg)
{
	const struct gate *gate = arg;

	if (!check_origin(gate, s))
		return false;
	if (gate->is_closed && gate->is_closed(gate->closed_arg) && !passes_closed_gate(s)) {
		refuse(s, LOG_LEVEL_WARN, "envd not initialized");
		return false;
	}
	if (gate->token_allows && !gate->token_allows(s, gate->token_arg)) {
		refuse(s, LOG_LEVEL_ERROR,
		       "unauthorized access, please provide a valid access "
		       "token or method signing if supported");
		return false;
	}
	/* /init needs no token, so its body stays charged to the class UNAUTHENTICATED. */
	if (strcmp(stream_head_in(s)->path, "/init") != 0)
		stream_set_admitted(s);
	return check_extensions(s) && check_user(gate, s);
}

static bool passes_closed_gate(const struct stream *s)
{
	const struct http_head *head = stream_head_in(s);

	if (strcmp(head->path, "/health") == 0)
		return strcmp(head->method, "GET") == 0 || strcmp(head->method, "HEAD") == 0;
	return strcmp(head->path, "/init") == 0 && strcmp(head->method, "POST") == 0;
}

static bool cors_allows_method(const char *method)
{
	static const char *const methods[] = {"HEAD",  "GET",	 "POST",   "PUT",
					      "PATCH", "DELETE", "OPTIONS"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(methods); i++)
		if (strcmp(methods[i], method) == 0)
			return true;
	return false;
}

/* A preflight is answered on any path, before the token and the user (compatibility/details 8). */
static void reply_preflight(struct stream *s, const char *origin, const char *method)
{
	const char *headers = stream_header_in(s, "access-control-request-headers");

	stream_header(s, "Vary",
		      "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
	if (origin && cors_allows_method(method)) {
		stream_header(s, "Access-Control-Allow-Origin", "*");
		stream_header(s, "Access-Control-Allow-Methods", method);
		if (headers && *headers)
			stream_header(s, "Access-Control-Allow-Headers", headers);
		stream_header(s, "Access-Control-Max-Age", "7200");
	}
	stream_reply(s, 204, NULL, NULL, 0);
}

/* Applies the cross-origin rules. False: the request was answered. */
static bool check_origin(const struct gate *gate, struct stream *s)
{
	const char *origin = stream_header_in(s, "origin");
	const char *method = stream_head_in(s)->method, *wanted;

	if (!gate->cors) {
		if (origin)
			stream_reply_error(s, 403, "requests of web pages are refused (-cors off)");
		return !origin;
	}
	if (origin && !*origin)
		origin = NULL;
	wanted = stream_header_in(s, "access-control-request-method");
	if (wanted && *wanted && strcmp(method, "OPTIONS") == 0) {
		reply_preflight(s, origin, wanted);
		return false;
	}
	stream_header(s, "Vary", "Origin");
	if (origin && cors_allows_method(method)) {
		stream_header(s, "Access-Control-Allow-Origin", "*");
		stream_header(s, "Access-Control-Expose-Headers", EXPOSED_HEADERS);
	}
	return true;
}

/*
 * A header of an extension that comes twice is an error: its handler would read the first one and
 * drop the other in silence, such as a limit of a process. False: the request was answered.
 */
static bool check_extensions(struct stream *s)
{
	static const char prefix[] = "x-envd-";
	const struct http_head *head = stream_head_in(s);
	const char *names[MAX_EXTENSION_FIELDS], *name;
	struct error err = {0};
	unsigned i, k, n = 0;

	for (i = 0; i < head->n_fields && !err.code; i++) {
		name = head->fields[i].name;
		if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
			continue;
		if (n == MAX_EXTENSION_FIELDS) {
			error_set(&err, ERROR_INVALID_ARGUMENT, "more than %u X-Envd headers",
				  MAX_EXTENSION_FIELDS);
			break;
		}
		for (k = 0; k < n && strcmp(names[k], name) != 0; k++)
			;
		if (k < n)
			error_set(&err, ERROR_INVALID_ARGUMENT, "the header %s is there twice",
				  name);
		names[n++] = name;
	}
	if (err.code)
		rpc_refuse(s, &err);
	return !err.code;
}

/*
 * An unknown name in HTTP Basic is refused on every path (compatibility/details 2). False: the
 * request was answered.
 */
static bool check_user(const struct gate *gate, struct stream *s)
{
	const char *authorization = stream_header_in(s, "authorization"), *name;
	struct user user;
	struct error err;

	if (!authorization)
		return true;
	name = header_basic_user(stream_arena(s), authorization);
	if (!name)
		return true;
	if (user_find(gate->context->users, name, stream_arena(s), &user, &err) < 0) {
		rpc_refuse(s, &err);
		return false;
	}
	stream_set_user(s, name);
	return true;
}
