/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/conformance/service.h"

#include <stdlib.h>
#include <string.h>

#include "base/loop.h"
#include "base/mem.h"
#include "connectrpc/conformance/v1/service.pb-c.h"
#include "rpc/call.h"
#include "rpc/http/http_head.h"
#include "rpc/http/uri.h"

#define TYPE_URL "type.googleapis.com/"

/* One call, in its arena. */
struct exchange {
	struct rpc_call *call;

	/* What came: each request, packed. */
	Google__Protobuf__Any **requests;
	size_t n_requests;
	size_t requests_room;

	/* How to answer, of the first request; one of the two, or neither. */
	const Conformance__UnaryResponseDefinition *unary;
	const Conformance__StreamResponseDefinition *stream;

	struct timer delay;
	size_t sent; /* messages of a stream */
};

static void exchange_answer(struct exchange *x);

static void on_delay(void *arg)
{
	exchange_answer(arg);
}

static struct exchange *exchange_new(struct rpc_call *call)
{
	struct exchange *x = arena_zalloc(rpc_call_arena(call), sizeof(*x));

	x->call = call;
	timer_init(&x->delay, rpc_call_loop(call), on_delay, x);
	rpc_call_set_data(call, x);
	return x;
}

static struct arena *exchange_arena(struct exchange *x)
{
	return rpc_call_arena(x->call);
}

/* ---- what is told of the request ---- */

/* The message as an Any in the call's arena. */
static Google__Protobuf__Any *pack(struct exchange *x, const ProtobufCMessage *message)
{
	Google__Protobuf__Any *any = arena_alloc(exchange_arena(x), sizeof(*any));
	struct error err;
	char *bytes;

	google__protobuf__any__init(any);
	any->type_url = arena_printf(exchange_arena(x), TYPE_URL "%s", message->descriptor->name);
	if (codec_encode(RPC_CODEC_PROTO, message, 0, &bytes, &any->value.len, &err) < 0)
		fatal("%s", err.message);
	any->value.data = arena_memdup(exchange_arena(x), bytes, any->value.len);
	free(bytes);
	return any;
}

static void keep_request(struct exchange *x, const ProtobufCMessage *request)
{
	Google__Protobuf__Any **larger;

	if (x->n_requests == x->requests_room) {
		x->requests_room = x->requests_room * 2 + 1;
		larger = arena_alloc(exchange_arena(x), x->requests_room * sizeof(*larger));
		if (x->n_requests)
			memcpy(larger, x->requests, x->n_requests * sizeof(*larger));
		x->requests = larger;
	}
	x->requests[x->n_requests++] = pack(x, request);
}

/* A name with its values. */
static Conformance__Header *header_new(struct arena *arena, const char *name, size_t max_values)
{
	Conformance__Header *header = arena_alloc(arena, sizeof(*header));

	conformance__header__init(header);
	header->name = name;
	header->value = arena_alloc(arena, max_values * sizeof(*header->value));
	return header;
}

/* The fields of the head, those of one name together. */
static void add_headers(struct exchange *x, Conformance__ConformancePayload__RequestInfo *info)
{
	const struct http_head *head = rpc_call_head(x->call);
	struct arena *arena = exchange_arena(x);

	info->request_headers = arena_alloc(arena, head->n_fields * sizeof(void *));
	for (unsigned i = 0; i < head->n_fields; i++) {
		const struct http_field *field = &head->fields[i];
		Conformance__Header *header = NULL;

		for (size_t k = 0; k < info->n_request_headers && !header; k++)
			if (strcmp(info->request_headers[k]->name, field->name) == 0)
				header = info->request_headers[k];
		if (!header) {
			header = header_new(arena, field->name, http_head_count(head, field->name));
			info->request_headers[info->n_request_headers++] = header;
		}
		header->value[header->n_value++] = field->value;
	}
}

/* The parameters of a GET, which are these. */
static void add_query(struct exchange *x, Conformance__ConformancePayload__RequestInfo *info)
{
	static const char *const names[] = {"connect", "encoding", "message", "base64",
					    "compression"};
	const struct http_head *head = rpc_call_head(x->call);
	struct arena *arena = exchange_arena(x);
	Conformance__ConformancePayload__ConnectGetInfo *get = arena_alloc(arena, sizeof(*get));

	conformance__conformance_payload__connect_get_info__init(get);
	get->query_params = arena_alloc(arena, ARRAY_LEN(names) * sizeof(void *));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		Conformance__Header *param;
		const char *value;
		size_t n;

		if (uri_query_get(arena, head->query, names[i], &value, &n) == 0)
			continue;
		param = header_new(arena, names[i], 1);
		param->value[param->n_value++] = value;
		get->query_params[get->n_query_params++] = param;
	}
	info->connect_get_info = get;
}

static Conformance__ConformancePayload__RequestInfo *request_info(struct exchange *x)
{
	Conformance__ConformancePayload__RequestInfo *info =
		arena_alloc(exchange_arena(x), sizeof(*info));
	int64_t timeout_ms = rpc_call_timeout_ms(x->call);

	conformance__conformance_payload__request_info__init(info);
	add_headers(x, info);
	if (strcmp(rpc_call_head(x->call)->method, "GET") == 0)
		add_query(x, info);
	if (timeout_ms >= 0) {
		info->opt_timeout_ms_case =
			CONFORMANCE__CONFORMANCE_PAYLOAD__REQUEST_INFO__OPT_TIMEOUT_MS_TIMEOUT_MS;
		info->timeout_ms = timeout_ms;
	}
	info->requests = x->requests;
	info->n_requests = x->n_requests;
	return info;
}

/* ---- the answer ---- */

static void put_metadata(struct exchange *x, Conformance__Header *const *headers, size_t n,
			 void (*put)(struct rpc_call *call, const char *name, const char *value))
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < headers[i]->n_value; k++)
			put(x->call, headers[i]->name, headers[i]->value[k]);
}

static void add_detail(struct exchange *x, const Google__Protobuf__Any *any)
{
	const char *slash = strrchr(any->type_url, '/');

	rpc_error_detail(x->call, slash ? slash + 1 : any->type_url, any->value.data,
			 any->value.len);
}

/* Ends the call as the definition says; `info` goes with the details unless it is NULL. */
static void fail(struct exchange *x, const Conformance__Error *error,
		 Conformance__ConformancePayload__RequestInfo *info)
{
	bool has_text = error->opt_message_case == CONFORMANCE__ERROR__OPT_MESSAGE_MESSAGE;
	struct error err;

	for (size_t i = 0; i < error->n_details; i++)
		add_detail(x, error->details[i]);
	if (info)
		add_detail(x, pack(x, &info->base));
	error_set(&err, (enum error_code)error->code, "%s", has_text ? error->message : "");
	rpc_fail(x->call, &err);
}

/* The types of a method with one answer all have a payload and nothing else. */
static void reply(struct exchange *x, Conformance__ConformancePayload *payload)
{
	const ProtobufCMessageDescriptor *type = rpc_call_method(x->call)->output;
	ProtobufCMessage *response = arena_alloc(exchange_arena(x), type->sizeof_message);

	protobuf_c_message_init(type, response);
	*(Conformance__ConformancePayload **)(void *)((char *)response + type->fields[0].offset) =
		payload;
	rpc_reply(x->call, response);
}

static void answer_once(struct exchange *x)
{
	const Conformance__UnaryResponseDefinition *definition = x->unary;
	Conformance__ConformancePayload payload = CONFORMANCE__CONFORMANCE_PAYLOAD__INIT;

	payload.request_info = request_info(x);
	if (definition &&
	    definition->response_case == CONFORMANCE__UNARY_RESPONSE_DEFINITION__RESPONSE_ERROR) {
		fail(x, definition->error, payload.request_info);
		return;
	}
	if (definition && definition->response_case ==
				  CONFORMANCE__UNARY_RESPONSE_DEFINITION__RESPONSE_RESPONSE_DATA)
		payload.data = definition->response_data;
	reply(x, &payload);
}

static void stream_end(struct exchange *x)
{
	if (x->stream && x->stream->error)
		fail(x, x->stream->error, x->sent == 0 ? request_info(x) : NULL);
	else
		rpc_finish(x->call);
}

/* The next message of a stream. The first one tells of the request. */
static enum rpc_flow stream_next(struct exchange *x)
{
	Conformance__ConformancePayload payload = CONFORMANCE__CONFORMANCE_PAYLOAD__INIT;
	Conformance__ServerStreamResponse response = CONFORMANCE__SERVER_STREAM_RESPONSE__INIT;

	payload.data = x->stream->response_data[x->sent];
	if (x->sent == 0)
		payload.request_info = request_info(x);
	response.payload = &payload;
	x->sent++;
	return rpc_send(x->call, &response.base);
}

/* Goes on with a stream: to the next delay, until no more is wanted for now, or to the end. */
static void stream_go_on(struct exchange *x)
{
	while (x->stream && x->sent < x->stream->n_response_data) {
		if (stream_next(x) == RPC_FULL)
			return;
		if (x->stream->response_delay_ms && x->sent < x->stream->n_response_data) {
			timer_set_ms(&x->delay, x->stream->response_delay_ms);
			return;
		}
	}
	stream_end(x);
}

static void exchange_answer(struct exchange *x)
{
	if (rpc_call_method(x->call)->kind == RPC_SERVER_STREAM)
		stream_go_on(x);
	else
		answer_once(x);
}

/* The whole request is there. */
static void exchange_begin(struct exchange *x)
{
	uint32_t delay_ms = 0;

	if (x->unary) {
		put_metadata(x, x->unary->response_headers, x->unary->n_response_headers,
			     rpc_header);
		put_metadata(x, x->unary->response_trailers, x->unary->n_response_trailers,
			     rpc_trailer);
		delay_ms = x->unary->response_delay_ms;
	} else if (x->stream) {
		put_metadata(x, x->stream->response_headers, x->stream->n_response_headers,
			     rpc_header);
		put_metadata(x, x->stream->response_trailers, x->stream->n_response_trailers,
			     rpc_trailer);
		if (x->stream->n_response_data)
			delay_ms = x->stream->response_delay_ms;
	}
	if (delay_ms)
		timer_set_ms(&x->delay, delay_ms);
	else
		exchange_answer(x);
}

/* ---- the methods ---- */

static void unary_open(struct rpc_call *call, const ProtobufCMessage *request)
{
	struct exchange *x = exchange_new(call);

	keep_request(x, request);
	x->unary = ((const Conformance__UnaryRequest *)request)->response_definition;
	exchange_begin(x);
}

static void idempotent_open(struct rpc_call *call, const ProtobufCMessage *request)
{
	struct exchange *x = exchange_new(call);

	keep_request(x, request);
	x->unary = ((const Conformance__IdempotentUnaryRequest *)request)->response_definition;
	exchange_begin(x);
}

static void server_stream_open(struct rpc_call *call, const ProtobufCMessage *request)
{
	struct exchange *x = exchange_new(call);

	keep_request(x, request);
	x->stream = ((const Conformance__ServerStreamRequest *)request)->response_definition;
	exchange_begin(x);
}

static void server_stream_writable(struct rpc_call *call)
{
	stream_go_on(rpc_call_data(call));
}

static void client_stream_open(struct rpc_call *call, const ProtobufCMessage *request)
{
	exchange_new(call);
}

/* A message lives for this call alone; the first one is decoded again into the call's arena. */
static void client_stream_message(struct rpc_call *call, const ProtobufCMessage *request)
{
	struct exchange *x = rpc_call_data(call);
	const Google__Protobuf__Any *first;
	ProtobufCMessage *again;
	struct error err;

	keep_request(x, request);
	if (x->n_requests > 1)
		return;
	first = x->requests[0];
	if (codec_decode(RPC_CODEC_PROTO, request->descriptor, first->value.data, first->value.len,
			 0, exchange_arena(x), &again, &err) < 0)
		fatal("%s", err.message);
	x->unary = ((const Conformance__ClientStreamRequest *)again)->response_definition;
}

static void client_stream_end(struct rpc_call *call)
{
	exchange_begin(rpc_call_data(call));
}

static void cancel(struct rpc_call *call, enum rpc_cancel why)
{
	struct exchange *x = rpc_call_data(call);

	timer_cancel(&x->delay);
}

#define SERVICE "connectrpc.conformance.v1.ConformanceService"

/* BidiStream needs more than HTTP/1.1; Unimplemented is what its name says. */
static struct rpc_method methods[] = {
	{
		.service = SERVICE,
		.name = "Unary",
		.kind = RPC_UNARY,
		.input = &conformance__unary_request__descriptor,
		.output = &conformance__unary_response__descriptor,
		.open = unary_open,
		.cancel = cancel,
	},
	{
		.service = SERVICE,
		.name = "IdempotentUnary",
		.kind = RPC_UNARY,
		.input = &conformance__idempotent_unary_request__descriptor,
		.output = &conformance__idempotent_unary_response__descriptor,
		.idempotent = true,
		.open = idempotent_open,
		.cancel = cancel,
	},
	{
		.service = SERVICE,
		.name = "ServerStream",
		.kind = RPC_SERVER_STREAM,
		.input = &conformance__server_stream_request__descriptor,
		.output = &conformance__server_stream_response__descriptor,
		.open = server_stream_open,
		.writable = server_stream_writable,
		.cancel = cancel,
	},
	{
		.service = SERVICE,
		.name = "ClientStream",
		.kind = RPC_CLIENT_STREAM,
		.input = &conformance__client_stream_request__descriptor,
		.output = &conformance__client_stream_response__descriptor,
		.open = client_stream_open,
		.message = client_stream_message,
		.end = client_stream_end,
		.cancel = cancel,
	},
};

void conformance_register(struct router *router, size_t message_max_bytes)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		methods[i].message_max_bytes = message_max_bytes;
		codec_register_type(methods[i].input);
	}
	/* In the details of errors. */
	codec_register_type(&conformance__conformance_payload__request_info__descriptor);
	rpc_register(router, methods, ARRAY_LEN(methods), NULL);
}
