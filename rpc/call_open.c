/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens a call for a request: selects protocol and codec by the content type, agrees on compression
 * and deadline, and sends the refusals (compatibility/details 54 to 57, 63, 75).
 */
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rpc/call_impl.h"
#include "rpc/http/header_value.h"
#include "rpc/http/router.h"

#define CHARSET "; charset=utf-8"
#define UPPER	"ABCDEFGHIJKLMNOPQRSTUVWXYZ"

static const struct {
	const char *type; /* in lower case */
	const struct rpc_protocol *protocol;
	enum rpc_codec codec;
	bool unary; /* for unary methods */
	bool stream;
} types[] = {
	{"application/json", &rpc_connect_unary, RPC_CODEC_JSON, true, false},
	{"application/json" CHARSET, &rpc_connect_unary, RPC_CODEC_JSON, true, false},
	{"application/proto", &rpc_connect_unary, RPC_CODEC_PROTO, true, false},
	{"application/connect+json", &rpc_connect_stream, RPC_CODEC_JSON, false, true},
	{"application/connect+json" CHARSET, &rpc_connect_stream, RPC_CODEC_JSON, false, true},
	{"application/connect+proto", &rpc_connect_stream, RPC_CODEC_PROTO, false, true},
	{"application/grpc-web", &rpc_grpcweb, RPC_CODEC_PROTO, true, true},
	{"application/grpc-web+json", &rpc_grpcweb, RPC_CODEC_JSON, true, true},
	{"application/grpc-web+json" CHARSET, &rpc_grpcweb, RPC_CODEC_JSON, true, true},
	{"application/grpc-web+proto", &rpc_grpcweb, RPC_CODEC_PROTO, true, true},
};

bool rpc_accepts_gzip(const char *list)
{
	size_t n;

	while (list && *list) {
		list += strspn(list, ", ");
		n = strcspn(list, ", ");
		if (n == 4 && memcmp(list, "gzip", 4) == 0)
			return true;
		list += n;
	}
	return false;
}

int rpc_parse_compression(const char *name, bool *ret_gzip, struct error *err)
{
	*ret_gzip = name && strcmp(name, "gzip") == 0;
	if (*ret_gzip || !name || !*name || strcmp(name, "identity") == 0)
		return 0;
	return error_set(err, ERROR_UNIMPLEMENTED,
			 "unknown compression \"%s\": supported encodings are gzip", name);
}

int rpc_parse_timeout_ms(const char *text, int64_t *ret, struct error *err)
{
	char *end;
	long long ms;

	*ret = -1;
	if (!text || !*text)
		return 0;
	if (strlen(text) > 10 || *text == ' ' || *text == '\t')
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "parse timeout: \"%s\" has more than 10 digits or is no number",
				 text);
	ms = strtoll(text, &end, 10);
	if (*end || end == text)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "parse timeout: \"%s\" is not a number of milliseconds", text);
	*ret = ms > 0 ? ms : 0;
	return 0;
}

/*
 * Returns a content type in the spelling of the table: in lower case, with its one parameter in one
 * form. The response has the same form (compatibility/details 56). NULL if it is malformed, or has
 * other parameters.
 */
static const char *canonical_type(struct arena *arena, const char *content_type)
{
	struct header_params params;

	if (!content_type || header_params_parse(arena, content_type, &params) < 0)
		return NULL;
	if (params.n_params == 0)
		return params.type;
	if (params.n_params == 1 && strcmp(params.params[0].name, "charset") == 0 &&
	    strcasecmp(params.params[0].value, "utf-8") == 0)
		return arena_printf(arena, "%s" CHARSET, params.type);
	return NULL;
}

/* Returns the row of this content type for this kind of method, or -1. */
static int find_type(struct arena *arena, const char *content_type, bool unary)
{
	size_t i;

	for (i = 0; content_type && i < ARRAY_LEN(types); i++)
		if (strcmp(types[i].type, content_type) == 0 &&
		    (unary ? types[i].unary : types[i].stream))
			return (int)i;
	/*
	 * Most clients use the spelling of the table. Others need canonical_type, which is slower.
	 */
	if (content_type && content_type[strcspn(content_type, UPPER "; \"")]) {
		const char *canonical = canonical_type(arena, content_type);

		if (canonical && strcmp(canonical, content_type) != 0)
			return find_type(arena, canonical, unary);
	}
	return -1;
}

/* Answers with 415 and the types that this kind of method supports. */
static void reply_unsupported(struct stream *s, bool unary)
{
	struct evbuffer *list = evbuffer_new();
	size_t i;

	for (i = 0; i < ARRAY_LEN(types); i++)
		if (unary ? types[i].unary : types[i].stream)
			evbuffer_add_printf(list, "%s%s", evbuffer_get_length(list) ? ", " : "",
					    types[i].type);
	evbuffer_add(list, "", 1);
	stream_header(s, "Accept-Post", (const char *)evbuffer_pullup(list, -1));
	evbuffer_free(list);
	stream_reply(s, 415, NULL, NULL, 0);
}

static struct rpc_call *call_new(struct stream *s, const struct rpc_route *route, size_t type)
{
	struct rpc_call *call = arena_zalloc(stream_arena(s), sizeof(*call));

	call->stream = s;
	call->method = route->method;
	call->service = route->service;
	call->protocol = types[type].protocol;
	call->codec = types[type].codec;
	call->content_type = types[type].type; /* same as the request's: clients compare */
	call->timeout_ms = -1;
	if (route->router) {
		call->workers = router_workers(route->router);
		call->keepalive_ms = router_keepalive_ms(route->router);
	}
	return call;
}

/* Agrees on compression and deadline. Then reads the request, or refuses it. */
static void call_begin(struct rpc_call *call)
{
	struct error err;

	if (call->protocol->accept(call, &err) < 0) {
		rpc_call_end(call, &err);
		return;
	}
	if (call->timeout_ms == 0) {
		error_set(&err, ERROR_DEADLINE_EXCEEDED, "context deadline exceeded");
		rpc_call_end(call, &err);
		return;
	}
	rpc_call_read(call);
}

void rpc_call_open(struct stream *s, void *arg)
{
	const struct rpc_route *route = arg;
	const struct http_head *head = stream_head_in(s);
	bool unary = route->method->kind == RPC_UNARY;
	int type;

	if (route->method->idempotent && unary && strcmp(head->method, "GET") == 0) {
		rpc_connect_get(s, route);
		return;
	}
	if (strcmp(head->method, "POST") != 0) {
		if (route->method->idempotent)
			stream_header(s, "Allow", "GET");
		stream_header(s, "Allow", "POST");
		stream_reply(s, 405, NULL, NULL, 0);
		return;
	}
	type = find_type(stream_arena(s), stream_header_in(s, "content-type"), unary);
	if (type < 0)
		reply_unsupported(s, unary);
	else
		call_begin(call_new(s, route, (size_t)type));
}

void rpc_refuse(struct stream *s, const struct error *err)
{
	static const struct rpc_method no_method = {.kind = RPC_UNARY};
	const struct rpc_route route = {&no_method, NULL, NULL};
	const char *content_type = stream_header_in(s, "content-type");
	int type = find_type(stream_arena(s), content_type, false);

	if (type < 0)
		type = find_type(stream_arena(s), "application/json", true);
	rpc_call_end(call_new(s, &route, (size_t)type), err);
}
