/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/oracle.h"

#include <stdlib.h>
#include <string.h>

#include "/usr/share/include/llhttp/llhttp.h"
#include "base/mem.h"

/* Every callback gets a piece of what it is about; the ends are callbacks of their own. */

static void append(llhttp_t *parser, const char *p, size_t n)
{
	struct oracle *o = parser->data;

	/* Trailers come by the same callbacks as the fields of the head. */
	if (o->head_complete)
		return;
	memcpy(o->head + o->head_bytes, p, n);
	o->head_bytes += n;
}

static int on_piece(llhttp_t *parser, const char *p, size_t n)
{
	append(parser, p, n);
	return 0;
}

static int on_name(llhttp_t *parser, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char c = p[i] >= 'A' && p[i] <= 'Z' ? (char)(p[i] | 0x20) : p[i];

		append(parser, &c, 1);
	}
	return 0;
}

static int on_body(llhttp_t *parser, const char *p, size_t n)
{
	struct oracle *o = parser->data;

	memcpy(o->body + o->body_bytes, p, n);
	o->body_bytes += n;
	return 0;
}

static int on_method_complete(llhttp_t *parser)
{
	append(parser, " ", 1);
	return 0;
}

static int on_url_complete(llhttp_t *parser)
{
	append(parser, "\n", 1);
	return 0;
}

static int on_name_complete(llhttp_t *parser)
{
	append(parser, ":", 1);
	return 0;
}

/* llhttp leaves the white space behind a value to its user. */
static int on_value_complete(llhttp_t *parser)
{
	struct oracle *o = parser->data;

	while (!o->head_complete && strchr(" \t", o->head[o->head_bytes - 1]))
		o->head_bytes--;
	append(parser, "\n", 1);
	return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
	struct oracle *o = parser->data;

	o->head_complete = true;
	o->keep_alive = llhttp_should_keep_alive(parser);
	o->chunked = parser->flags & F_CHUNKED;
	o->content_length = parser->flags & F_CONTENT_LENGTH ? parser->content_length : 0;
	return 0;
}

static int on_message_complete(llhttp_t *parser)
{
	struct oracle *o = parser->data;

	o->message_complete = true;
	return HPE_PAUSED;
}

void oracle_run(struct oracle *o, const char *p, size_t n)
{
	llhttp_settings_t settings;
	llhttp_t parser;
	llhttp_errno_t r;

	memset(o, 0, sizeof(*o));
	o->head = mem_alloc(n + 1);
	o->body = mem_alloc(n + 1);
	llhttp_settings_init(&settings);
	settings.on_method = on_piece;
	settings.on_method_complete = on_method_complete;
	settings.on_url = on_piece;
	settings.on_url_complete = on_url_complete;
	settings.on_header_field = on_name;
	settings.on_header_field_complete = on_name_complete;
	settings.on_header_value = on_piece;
	settings.on_header_value_complete = on_value_complete;
	settings.on_headers_complete = on_headers_complete;
	settings.on_body = on_body;
	settings.on_message_complete = on_message_complete;
	llhttp_init(&parser, HTTP_REQUEST, &settings);
	parser.data = o;
	r = llhttp_execute(&parser, p, n);
	if (r != HPE_OK && r != HPE_PAUSED && r != HPE_PAUSED_UPGRADE) {
		o->error = llhttp_errno_name(r);
		o->reason = llhttp_get_error_reason(&parser);
	}
}

void oracle_clear(struct oracle *o)
{
	free(o->head);
	free(o->body);
}
