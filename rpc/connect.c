/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Connect protocol (connectrpc.com/docs/protocol). Unary calls have bare bodies and HTTP status
 * codes. Streams have envelopes; the last one contains the result.
 */
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rpc/call_impl.h"
#include "rpc/codec/base64.h"
#include "rpc/codec/gzip.h"
#include "rpc/codec/json.h"
#include "rpc/http/router.h"
#include "rpc/http/uri.h"

/* Parses the fields that both forms share: version and deadline. */
static int accept_common(struct rpc_call *call, struct error *err)
{
	const char *version = rpc_call_header(call, "connect-protocol-version");

	if (version && *version && strcmp(version, "1") != 0)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "connect-protocol-version must be \"1\": got \"%s\"", version);
	return rpc_parse_timeout_ms(rpc_call_header(call, "connect-timeout-ms"), &call->timeout_ms,
				    err);
}

/* ---- the error in JSON ---- */

/* Writes one detail of an error: its type, and its bytes in base64 without padding. */
static void put_detail(struct json_writer *out, const struct rpc_detail *detail)
{
	char *text = mem_alloc(base64_encoded_bytes(detail->value_bytes) + 1);
	size_t n = base64_encode_unpadded(text, detail->value, detail->value_bytes);

	json_put_object(out);
	json_put_name(out, "type");
	json_put_string(out, detail->type);
	json_put_name(out, "value");
	json_put_string_bytes(out, text, n);
	json_put_object_end(out);
	free(text);
}

static void put_error(struct json_writer *out, const struct rpc_call *call, const struct error *err)
{
	const struct rpc_detail *detail;

	json_put_object(out);
	json_put_name(out, "code");
	json_put_string(out, error_code_name(err->code));
	if (err->message[0]) {
		json_put_name(out, "message");
		json_put_string(out, err->message);
	}
	if (call->details) {
		json_put_name(out, "details");
		json_put_array(out);
		for (detail = call->details; detail; detail = detail->next)
			put_detail(out, detail);
		json_put_array_end(out);
	}
	json_put_object_end(out);
}

/* ---- unary ---- */

static int unary_accept(struct rpc_call *call, struct error *err)
{
	if (accept_common(call, err) < 0 ||
	    rpc_parse_compression(rpc_call_header(call, "content-encoding"), &call->gzip_in, err) <
		    0)
		return -1;
	call->gzip_out =
		call->gzip_in || rpc_accepts_gzip(rpc_call_header(call, "accept-encoding"));
	return 0;
}

static void put_unary_trailers(struct rpc_call *call)
{
	const struct rpc_field *field;

	for (field = call->trailers; field; field = field->next)
		stream_header(call->stream,
			      arena_printf(rpc_call_arena(call), "Trailer-%s", field->name),
			      field->value);
}

static void unary_head(struct rpc_call *call)
{
	stream_header(call->stream, "Content-Type", call->content_type);
	stream_header(call->stream, "Accept-Encoding", "gzip");
	if (call->gzip_out)
		stream_header(call->stream, "Content-Encoding", "gzip");
	put_unary_trailers(call);
}

/* Called for a unary call only if it failed; rpc_reply ends a successful one. */
static void unary_end(struct rpc_call *call, const struct error *err)
{
	struct json_writer out;

	if (!err) {
		stream_reset(call->stream);
		return;
	}
	json_writer_init(&out, 0, 128);
	put_error(&out, call, err);
	stream_header(call->stream, "Accept-Encoding", "gzip");
	put_unary_trailers(call);
	stream_reply(call->stream, error_http_status(err->code), "application/json", out.data,
		     out.n);
	json_writer_clear(&out);
}

const struct rpc_protocol rpc_connect_unary = {
	.enveloped = false,
	.accept = unary_accept,
	.head = unary_head,
	.end = unary_end,
};

/* ---- streams ---- */

static int stream_accept(struct rpc_call *call, struct error *err)
{
	if (accept_common(call, err) < 0 ||
	    rpc_parse_compression(rpc_call_header(call, "connect-content-encoding"), &call->gzip_in,
				  err) < 0)
		return -1;
	call->gzip_out =
		call->gzip_in || rpc_accepts_gzip(rpc_call_header(call, "connect-accept-encoding"));
	return 0;
}

static void stream_head_fields(struct rpc_call *call)
{
	stream_header(call->stream, "Content-Type", call->content_type);
	stream_header(call->stream, "Connect-Accept-Encoding", "gzip");
	rpc_put_stream_fields(call);
	if (call->gzip_out)
		stream_header(call->stream, "Connect-Content-Encoding", "gzip");
}

/* Returns true if no earlier field has the same name; all values of a name are written together. */
static bool is_first_of_name(const struct rpc_call *call, const struct rpc_field *field)
{
	const struct rpc_field *earlier;

	for (earlier = call->trailers; earlier != field; earlier = earlier->next)
		if (strcasecmp(earlier->name, field->name) == 0)
			return false;
	return true;
}

static void put_metadata(struct json_writer *out, const struct rpc_call *call)
{
	const struct rpc_field *field, *same;

	json_put_name(out, "metadata");
	json_put_object(out);
	for (field = call->trailers; field; field = field->next) {
		if (!is_first_of_name(call, field))
			continue;
		json_put_name(out, field->name);
		json_put_array(out);
		for (same = field; same; same = same->next)
			if (strcasecmp(same->name, field->name) == 0)
				json_put_string(out, same->value);
		json_put_array_end(out);
	}
	json_put_object_end(out);
}

/* Sends the last envelope of a stream, after success or failure. */
static void stream_end(struct rpc_call *call, const struct error *err)
{
	struct json_writer out;
	size_t n;
	char *data, *plain;
	uint8_t flags = RPC_FLAG_CONNECT_END;

	json_writer_init(&out, RPC_ENVELOPE_BYTES, 64);
	json_put_object(&out);
	if (err) {
		json_put_name(&out, "error");
		put_error(&out, call, err);
	}
	if (call->trailers)
		put_metadata(&out, call);
	json_put_object_end(&out);
	data = json_writer_take(&out, &n);
	if (call->gzip_out) {
		plain = data;
		gzip_compress(plain + RPC_ENVELOPE_BYTES, n, RPC_ENVELOPE_BYTES, &data, &n);
		free(plain);
		flags |= RPC_FLAG_COMPRESSED;
	}
	rpc_envelope_write(data, flags, n);
	if (!stream_head_sent(call->stream)) {
		stream_head_fields(call);
		stream_head(call->stream, 200, STREAM_LENGTH_UNKNOWN);
	}
	stream_send_bytes(call->stream, data, RPC_ENVELOPE_BYTES + n);
	free(data);
	stream_finish(call->stream);
}

const struct rpc_protocol rpc_connect_stream = {
	.enveloped = true,
	.end_flag = RPC_FLAG_CONNECT_END,
	.accept = stream_accept,
	.head = stream_head_fields,
	.end = stream_end,
};

/* ---- GET ---- */

/* The query parameters of a GET, which replace fields and body ("Unary-Get-Request"). */
struct get_request {
	const char *message;
	size_t message_bytes;
	bool gzip;
};

/* Returns a parameter that may occur only once; NULL if it is absent. */
static const char *get_param(struct stream *s, const char *name, size_t *ret_bytes)
{
	const char *value;

	if (uri_query_get(stream_arena(s), stream_head_in(s)->query, name, &value, ret_bytes) == 0)
		return NULL;
	return value;
}

static int parse_get(struct stream *s, struct get_request *get, struct error *err)
{
	const char *version, *base64, *compression;
	size_t n;
	ssize_t decoded;
	char *out;

	version = get_param(s, "connect", &n);
	if (version && strcmp(version, "v1") != 0)
		return error_set(err, ERROR_INVALID_ARGUMENT, "connect must be \"v1\": got \"%s\"",
				 version);
	compression = get_param(s, "compression", &n);
	if (rpc_parse_compression(compression, &get->gzip, err) < 0)
		return -1;
	get->message = get_param(s, "message", &get->message_bytes);
	if (!get->message)
		return error_set(err, ERROR_INVALID_ARGUMENT, "missing message parameter");
	base64 = get_param(s, "base64", &n);
	if (!base64 || strcmp(base64, "1") != 0)
		return 0;
	out = arena_alloc(stream_arena(s), base64_decoded_max_bytes(get->message_bytes) + 1);
	decoded = base64_decode(out, get->message, get->message_bytes);
	if (decoded < 0)
		return error_set(err, ERROR_INVALID_ARGUMENT, "message parameter: not base64");
	get->message = out;
	get->message_bytes = (size_t)decoded;
	return 0;
}

void rpc_connect_get(struct stream *s, const struct rpc_route *route)
{
	struct rpc_call *call = arena_zalloc(stream_arena(s), sizeof(*call));
	struct get_request get;
	struct error err;
	const char *encoding;
	size_t n;

	encoding = get_param(s, "encoding", &n);
	if (!encoding || (strcmp(encoding, "json") != 0 && strcmp(encoding, "proto") != 0)) {
		stream_reply(s, 415, NULL, NULL, 0);
		return;
	}
	call->stream = s;
	call->method = route->method;
	call->service = route->service;
	call->protocol = &rpc_connect_unary;
	call->codec = encoding[0] == 'j' ? RPC_CODEC_JSON : RPC_CODEC_PROTO;
	call->content_type = encoding[0] == 'j' ? "application/json" : "application/proto";
	call->timeout_ms = -1;
	call->workers = router_workers(route->router);
	if (unary_accept(call, &err) < 0 || parse_get(s, &get, &err) < 0) {
		rpc_call_end(call, &err);
		return;
	}
	call->gzip_in = get.gzip;
	rpc_call_read_message(call, get.message, get.message_bytes);
}
