/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC-Web over HTTP/1.1 (github.com/grpc/grpc, doc/PROTOCOL-WEB.md and PROTOCOL-HTTP2.md). All
 * calls use envelopes. The last envelope of a response contains the trailers. A response without a
 * message has the trailers in its head (compatibility/details 76).
 */
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"
#include "base/mem.h"
#include "rpc/call_impl.h"
#include "rpc/codec/base64.h"
#include "rpc/codec/gzip.h"

/*
 * Parses grpc-timeout: up to eight digits and a unit. A time that overflows counts as no timeout.
 */
static int parse_timeout(const char *text, int64_t *ret_ms, struct error *err)
{
	static const struct {
		char unit;
		int64_t multiplier, divisor; /* to milliseconds */
	} units[] = {
		{'H', 3600000, 1}, {'M', 60000, 1}, {'S', 1000, 1},
		{'m', 1, 1},	   {'u', 1, 1000},  {'n', 1, 1000000},
	};
	uint64_t value;
	size_t i, digits;

	*ret_ms = -1;
	if (!text || !*text)
		return 0;
	digits = strspn(text, "0123456789");
	if (digits > 8 || strlen(text) != digits + 1 ||
	    !decimal_parse(text, digits, UINT32_MAX, &value))
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "protocol error: invalid timeout \"%s\"", text);
	for (i = 0; i < ARRAY_LEN(units); i++)
		if (units[i].unit == text[digits]) {
			*ret_ms = (int64_t)value * units[i].multiplier / units[i].divisor;
			return 0;
		}
	return error_set(err, ERROR_INVALID_ARGUMENT, "protocol error: timeout \"%s\" has no unit",
			 text);
}

static int web_accept(struct rpc_call *call, struct error *err)
{
	if (parse_timeout(rpc_call_header(call, "grpc-timeout"), &call->timeout_ms, err) < 0 ||
	    rpc_parse_compression(rpc_call_header(call, "grpc-encoding"), &call->gzip_in, err) < 0)
		return -1;
	call->gzip_out =
		call->gzip_in || rpc_accepts_gzip(rpc_call_header(call, "grpc-accept-encoding"));
	return 0;
}

static void web_head(struct rpc_call *call)
{
	stream_header(call->stream, "Content-Type", call->content_type);
	stream_header(call->stream, "Grpc-Accept-Encoding", "gzip");
	rpc_put_stream_fields(call);
	if (call->gzip_out)
		stream_header(call->stream, "Grpc-Encoding", "gzip");
}

/* ---- the status ---- */

/* PROTOCOL-HTTP2.md, "Status-Message": percent-encodes all bytes except printable ASCII. */
static char *encode_message(struct arena *arena, const char *message)
{
	char *out = arena_alloc(arena, strlen(message) * 3 + 1), *at = out;

	for (; *message; message++) {
		unsigned char c = (unsigned char)*message;

		if (c >= 0x20 && c <= 0x7e && c != '%')
			*at++ = (char)c;
		else
			at += sprintf(at, "%%%02X", c);
	}
	*at = '\0';
	return out;
}

/* Writes a length-delimited field of protobuf's wire format. */
static void put_bytes(struct evbuffer *out, unsigned field, const void *p, size_t n)
{
	unsigned char head[11];
	size_t at = 0, left = n;

	head[at++] = (unsigned char)(field << 3 | 2);
	for (; left >= 0x80; left >>= 7)
		head[at++] = (unsigned char)(left | 0x80);
	head[at++] = (unsigned char)left;
	evbuffer_add(out, head, at);
	evbuffer_add(out, p, n);
}

/* grpc-status-details-bin: a google.rpc.Status {code = 1, message = 2, details = 3: Any}. */
static char *encode_details(const struct rpc_call *call, struct arena *arena,
			    const struct error *err)
{
	struct evbuffer *status = evbuffer_new(), *any = evbuffer_new();
	const unsigned char code[2] = {1 << 3, (unsigned char)err->code};
	const struct rpc_detail *detail;
	size_t n;
	char *text;

	evbuffer_add(status, code, sizeof(code));
	put_bytes(status, 2, err->message, strlen(err->message));
	for (detail = call->details; detail; detail = detail->next) {
		text = arena_printf(arena, "type.googleapis.com/%s", detail->type);
		put_bytes(any, 1, text, strlen(text));
		put_bytes(any, 2, detail->value, detail->value_bytes);
		n = evbuffer_get_length(any);
		put_bytes(status, 3, evbuffer_pullup(any, -1), n);
		evbuffer_drain(any, n);
	}
	n = evbuffer_get_length(status);
	text = arena_alloc(arena, base64_encoded_bytes(n) + 1);
	text[base64_encode_unpadded(text, evbuffer_pullup(status, -1), n)] = '\0';
	evbuffer_free(status);
	evbuffer_free(any);
	return text;
}

/* Calls `put` for each trailer, to write it into the head or into the last envelope. */
static void each_trailer(struct rpc_call *call, const struct error *err,
			 void (*put)(void *arg, const char *name, const char *value), void *arg)
{
	struct arena *arena = rpc_call_arena(call);
	const struct rpc_field *field;

	for (field = call->trailers; field; field = field->next)
		put(arg, field->name, field->value);
	put(arg, "grpc-status", arena_printf(arena, "%d", err ? (int)err->code : 0));
	if (err)
		put(arg, "grpc-message", encode_message(arena, err->message));
	if (err && call->details)
		put(arg, "grpc-status-details-bin", encode_details(call, arena, err));
}

static void put_in_head(void *arg, const char *name, const char *value)
{
	stream_header(arg, name, value);
}

/* PROTOCOL-WEB.md: names in the body are in lower case. */
static void put_in_body(void *arg, const char *name, const char *value)
{
	char c;

	for (; *name; name++) {
		c = *name >= 'A' && *name <= 'Z' ? (char)(*name + 32) : *name;
		evbuffer_add(arg, &c, 1);
	}
	evbuffer_add_printf(arg, ": %s\r\n", value);
}

/* Sends the last envelope, with the trailers as text. */
static void send_trailers(struct rpc_call *call, const struct error *err)
{
	struct evbuffer *text = evbuffer_new();
	uint8_t flags = RPC_FLAG_WEB_TRAILER;
	size_t n;
	char *data;

	each_trailer(call, err, put_in_body, text);
	n = evbuffer_get_length(text);
	if (call->gzip_out) {
		gzip_compress(evbuffer_pullup(text, -1), n, RPC_ENVELOPE_BYTES, &data, &n);
		flags |= RPC_FLAG_COMPRESSED;
	} else {
		data = mem_alloc(RPC_ENVELOPE_BYTES + n);
		evbuffer_remove(text, data + RPC_ENVELOPE_BYTES, n);
	}
	evbuffer_free(text);
	rpc_envelope_write(data, flags, n);
	stream_send_bytes(call->stream, data, RPC_ENVELOPE_BYTES + n);
	free(data);
}

static void web_end(struct rpc_call *call, const struct error *err)
{
	if (!stream_head_sent(call->stream) && err) {
		web_head(call);
		each_trailer(call, err, put_in_head, call->stream);
		stream_head(call->stream, 200, 0);
	} else {
		if (!stream_head_sent(call->stream)) {
			web_head(call);
			stream_head(call->stream, 200, STREAM_LENGTH_UNKNOWN);
		}
		send_trailers(call, err);
	}
	stream_finish(call->stream);
}

const struct rpc_protocol rpc_grpcweb = {
	.enveloped = true,
	.accept = web_accept,
	.head = web_head,
	.end = web_end,
};
