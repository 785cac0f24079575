/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/client/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "envd/client/show.h"
#include "rpc/codec/codec.h"
#include "rpc/codec/json.h"

#define METHOD_BYTES 128

/* Encodes a message behind room for `headroom` bytes. Returns owned memory. */
static char *encode(const ProtobufCMessage *message, size_t headroom, size_t *ret_bytes)
{
	struct error err;
	char *p;

	/* Fatal: the binary codec has no errors. */
	if (codec_encode(RPC_CODEC_PROTO, message, headroom, &p, ret_bytes, &err) < 0)
		fatal("codec_encode: %s", err.message);
	return p;
}

static int decode(const ProtobufCMessageDescriptor *type, const void *p, size_t n,
		  struct arena *arena, ProtobufCMessage **ret, struct error *err)
{
	arena->limit_bytes = CALL_DECODED_MAX_BYTES;
	if (codec_decode(RPC_CODEC_PROTO, type, p, n, 0, arena, ret, err) < 0)
		return error_prefix(err, "a malformed answer");
	return 0;
}

int call_unary(const struct client *c, const char *method, const ProtobufCMessage *request,
	       const ProtobufCMessageDescriptor *type, struct arena *arena, ProtobufCMessage **ret,
	       struct error *err)
{
	struct exchange *x = mem_zalloc(sizeof(*x));
	char target[METHOD_BYTES], *body, *answer = NULL;
	size_t n;
	int r;

	snprintf(target, sizeof(target), "/%s", method);
	body = encode(request, 0, &n);
	r = exchange_open(x, c, "POST", target, "Content-Type: application/proto\r\n", (int64_t)n,
			  err);
	exchange_put(x, body, n);
	free(body);
	if (r == 0)
		r = exchange_head(x, err);
	if (r == 0 && x->reply.status != 200)
		r = exchange_refused(x, err);
	else if (r == 0)
		r = exchange_body(x, CALL_ANSWER_MAX_BYTES, &answer, &n, err);
	if (r == 0) {
		r = decode(type, answer, n, arena, ret, err);
		free(answer);
	}
	exchange_close(x);
	free(x);
	return r;
}

int call_show_json(FILE *to, const ProtobufCMessage *message, struct error *err)
{
	char *text;
	size_t n;

	if (codec_encode(RPC_CODEC_JSON, message, 0, &text, &n, err) < 0)
		return -1;
	show_json(to, text, n);
	fputc('\n', to);
	free(text);
	return 0;
}

void call_put(struct exchange *x, const ProtobufCMessage *message)
{
	unsigned char head[ENVELOPE_HEAD_BYTES];
	size_t n;
	char *p = encode(message, ENVELOPE_HEAD_BYTES, &n);

	envelope_head(head, 0, n);
	memcpy(p, head, sizeof(head));
	exchange_put(x, p, n + sizeof(head));
	free(p);
}

int call_stream_open(struct call_stream *s, const struct client *c, const char *method,
		     const char *fields, const ProtobufCMessage *request,
		     const ProtobufCMessageDescriptor *type, struct error *err)
{
	char target[METHOD_BYTES], *all = mem_alloc(strlen(fields) + METHOD_BYTES);

	*s = (struct call_stream){.type = type, .x.fd = -1};
	snprintf(target, sizeof(target), "/%s", method);
	sprintf(all, "Content-Type: application/connect+proto\r\nConnect-Protocol-Version: 1\r\n%s",
		fields);
	if (exchange_open(&s->x, c, "POST", target, all, EXCHANGE_CHUNKED, err) < 0) {
		free(all);
		return -1;
	}
	free(all);
	call_put(&s->x, request);
	exchange_put_end(&s->x);
	if (exchange_head(&s->x, err) < 0)
		return -1;
	return s->x.reply.status == 200 ? 0 : exchange_refused(&s->x, err);
}

void call_stream_close(struct call_stream *s)
{
	exchange_close(&s->x);
	envelope_clear(&s->envelope);
	arena_clear(&s->arena);
}

/* The last message: {"error": {"code": …, "message": …}}, or {} (Connect, "Streaming-End"). */
static enum call_event take_end(struct call_stream *s, struct error *err)
{
	struct json_lexer in;
	const char *begin;
	struct error broken;
	bool is_error;

	*err = (struct error){.code = ERROR_OK};
	json_lexer_init(&in, s->envelope.data, s->envelope.bytes);
	if (json_open_object(&in))
		while (json_next_field(&in)) {
			is_error = json_name_is(&in, "error") && in.token == JSON_OBJECT;
			begin = in.p - 1;
			json_skip(&in);
			if (is_error)
				exchange_error_parse(begin, (size_t)(in.p - begin), 0, err);
		}
	if (json_finish(&in, &broken) < 0)
		error_set(err, ERROR_INTERNAL, "a malformed end of the stream");
	return CALL_END;
}

static enum call_event lost(struct error *err, const char *why)
{
	error_set(err, ERROR_UNAVAILABLE, "%s", why);
	return CALL_LOST;
}

/* Takes the next message of the bytes that have arrived. */
static enum call_event take_message(struct call_stream *s, struct error *err)
{
	switch (envelope_next(&s->envelope, &s->p, &s->n)) {
	case ENVELOPE_MORE:
		return CALL_WAIT;
	case ENVELOPE_ERROR:
		return lost(err, s->envelope.error);
	case ENVELOPE_MESSAGE:
		break;
	}
	if (s->envelope.flags & ENVELOPE_END)
		return take_end(s, err);
	arena_clear(&s->arena);
	if (decode(s->type, s->envelope.data, s->envelope.bytes, &s->arena, &s->message, err) < 0)
		return CALL_LOST;
	return CALL_MESSAGE;
}

enum call_event call_stream_next(struct call_stream *s, int timeout_ms, struct error *err)
{
	enum call_event event;

	for (;;) {
		event = take_message(s, err);
		if (event != CALL_WAIT)
			return event;
		switch (exchange_next(&s->x, timeout_ms, err)) {
		case REPLY_MORE:
			return CALL_WAIT;
		case REPLY_DATA:
			s->p = s->x.reply.data;
			s->n = s->x.reply.data_bytes;
			break;
		case REPLY_HEAD:
			break;
		case REPLY_END:
			return lost(err, "the stream ended without its last message");
		case REPLY_ERROR:
			return CALL_LOST;
		}
	}
}
