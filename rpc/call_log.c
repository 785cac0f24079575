/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/call_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "rpc/call_impl.h"
#include "rpc/codec/codec_log.h"

#define NAME_BYTES 96

/* "process.Process", "SendInput" → "Process sendInput", and for streams what happened to them. */
static void call_name(const struct rpc_call *call, const char *what, char text[NAME_BYTES])
{
	const struct rpc_method *m = call->method;
	const char *service = strrchr(m->service, '.');
	const char *kind = m->kind == RPC_CLIENT_STREAM ? "client" : "server";
	char first = m->name[0];

	if (first >= 'A' && first <= 'Z')
		first = (char)(first + ('a' - 'A'));
	service = service ? service + 1 : m->service;
	if (m->kind == RPC_UNARY)
		snprintf(text, NAME_BYTES, "%s %c%s", service, first, m->name + 1);
	else
		snprintf(text, NAME_BYTES, "%s %c%s (%s stream %s)", service, first, m->name + 1,
			 kind, what);
}

/* Logs a line with the members that all lines of a call have, and with n others. */
static void call_line(const struct rpc_call *call, enum log_level level, const char *what,
		      const struct log_field *more, size_t n)
{
	const struct rpc_method *m = call->method;
	struct log_field fields[6];
	char name[NAME_BYTES], method[2 * NAME_BYTES];

	snprintf(method, sizeof(method), "%s /%s/%s", rpc_call_head(call)->method, m->service,
		 m->name);
	fields[0] = LOG_TEXT("method", method);
	memcpy(fields + 1, more, n * sizeof(*more));
	call_name(call, what, name);
	log_event(&(struct log_line){.level = level,
				     .logger = strncmp(m->service, "process.", 8) == 0
						       ? "process"
						       : "filesystem",
				     .request = rpc_call_log_request(call),
				     .sink_only = true,
				     .fields = fields,
				     .n_fields = 1 + n},
		  "%s", name);
}

void rpc_log_open(struct rpc_call *call, const ProtobufCMessage *request)
{
	struct log_field member;
	char *text;

	if (!log_has_sink())
		return;
	stream_set_quiet(call->stream);
	call->logged = true;
	if (call->method->kind == RPC_UNARY) {
		call->logged_request = request;
		return;
	}
	text = request ? codec_log_text(request) : NULL;
	member = LOG_JSON("request", text);
	call_line(call, LOG_LEVEL_DEBUG, "start", &member, 1);
	free(text);
}

void rpc_log_reply(struct rpc_call *call, const ProtobufCMessage *response, size_t encoded_bytes)
{
	bool unary = call->method->kind == RPC_UNARY;
	struct log_field members[2];
	char *asked, *answered;

	if (!call->logged)
		return;
	call->logged = false;
	asked = call->logged_request ? codec_log_text(call->logged_request) : NULL;
	answered = response ? codec_log_text(response) : NULL;
	members[0] = LOG_JSON("request", asked);
	if (encoded_bytes)
		members[1] = LOG_NUMBER("response_bytes", encoded_bytes);
	else
		members[1] = LOG_JSON("response", answered ? answered : "null");
	call_line(call, unary ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "end", members, 2);
	free(asked);
	free(answered);
}

static void log_error_line(struct rpc_call *call, const char *text, enum error_code code)
{
	char *asked;

	if (!call->logged)
		return;
	call->logged = false;
	asked = call->logged_request ? codec_log_text(call->logged_request) : NULL;
	call_line(call, LOG_LEVEL_ERROR, "end",
		  (const struct log_field[]){LOG_TEXT("error", text),
					     LOG_NUMBER("error_code", code),
					     LOG_JSON("request", asked)},
		  3);
	free(asked);
}

void rpc_log_failure(struct rpc_call *call, const struct error *err)
{
	char text[ERROR_MESSAGE_BYTES + 64];

	snprintf(text, sizeof(text), "%s: %s", error_code_name(err->code), err->message);
	log_error_line(call, text, err->code);
}

void rpc_log_cancel(struct rpc_call *call, enum rpc_cancel why)
{
	struct error err;

	if (why == RPC_CANCEL_SHUTDOWN) {
		error_set(&err, ERROR_UNAVAILABLE, "envd is shutting down");
		rpc_log_failure(call, &err);
		return;
	}
	/* The reference has lost the code of its context's error here: it is `unknown`. */
	log_error_line(
		call, why == RPC_CANCEL_DEADLINE ? "context deadline exceeded" : "context canceled",
		ERROR_UNKNOWN);
}
