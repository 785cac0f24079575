/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers to the commands on the host. One that comes whole and one that comes byte by byte are the
 * same: status, body, and the messages in it. What is shown of it is printable.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "envd/client/envelope.h"
#include "envd/client/exchange.h"
#include "envd/client/reply.h"
#include "envd/client/show.h"
#include "tests/fuzz/fuzz.h"

struct outcome {
	enum reply_event end;
	const char *error; /* of the reply */
	unsigned status, messages;
	const char *bad_message; /* the error of the envelopes */
	char *body;
	size_t bytes;
};

static void take_body(struct outcome *o, struct envelope *messages, const char *p, size_t n)
{
	enum envelope_event event;

	memcpy(o->body + o->bytes, p, n);
	o->bytes += n;
	while ((event = envelope_next(messages, &p, &n)) == ENVELOPE_MESSAGE) {
		CHECK(envelope_is_whole(messages) && messages->bytes <= o->bytes);
		o->messages++;
	}
	CHECK(event == ENVELOPE_ERROR || n == 0);
	o->bad_message = messages->error;
}

/* As a command reads it, in steps. The body is the caller's to free. */
static struct outcome read_in_steps(const uint8_t *data, size_t n, size_t step)
{
	struct outcome o = {.body = mem_alloc(n + 1)};
	struct reply *r = mem_zalloc(sizeof(*r));
	struct envelope messages = {0};
	enum reply_event event = REPLY_MORE;

	reply_init(r);
	for (size_t at = 0; at < n && event == REPLY_MORE; at += step) {
		size_t left = step < n - at ? step : n - at;
		char *piece = mem_dup(data + at, left);
		const char *p = piece;

		while ((event = reply_next(r, &p, &left)) == REPLY_HEAD || event == REPLY_DATA) {
			if (event == REPLY_DATA)
				take_body(&o, &messages, r->data, r->data_bytes);
			else
				o.status = r->status;
		}
		free(piece);
	}
	o.end = event == REPLY_MORE ? reply_eof(r) : event;
	o.error = r->error;
	CHECK(o.end == REPLY_END || o.end == REPLY_ERROR);
	CHECK(o.status == 0 || (o.status >= 200 && o.status <= 999));
	if (o.status && reply_field(r, "x"))
		CHECK(!strpbrk(reply_field(r, "x"), "\r\n"));
	envelope_clear(&messages);
	free(r);
	return o;
}

/* What a terminal would get has no control character, and stays UTF-8. */
static void check_shown(const struct outcome *o)
{
	char *shown;
	size_t n;
	FILE *to = open_memstream(&shown, &n);
	struct error err;

	o->body[o->bytes] = '\0';
	exchange_error_parse(o->body, o->bytes, o->status, &err);
	show_text(to, err.message);
	show_bytes(to, o->body, o->bytes);
	show_json(to, o->body, o->bytes);
	fclose(to);
	CHECK(utf8_valid(shown, n));
	for (size_t i = 0; i < n; i++)
		CHECK((unsigned char)shown[i] >= ' ' && shown[i] != 0x7f);
	CHECK(!memmem(shown, n, "\xc2\x9b", 2) && !memmem(shown, n, "\xe2\x80\xae", 3));
	free(shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct outcome whole = read_in_steps(data, n, n ? n : 1);
	struct outcome bytewise = read_in_steps(data, n, 1);

	CHECK(whole.end == bytewise.end && whole.error == bytewise.error);
	CHECK(whole.status == bytewise.status && whole.messages == bytewise.messages);
	CHECK(whole.bad_message == bytewise.bad_message && whole.bytes == bytewise.bytes);
	CHECK(memcmp(whole.body, bytewise.body, whole.bytes) == 0);
	check_shown(&whole);
	free(whole.body);
	free(bytewise.body);
	return 0;
}
