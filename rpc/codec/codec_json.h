/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the encoder and the decoder of proto3 JSON.
 */
#ifndef RPC_CODEC_CODEC_JSON_H
#define RPC_CODEC_CODEC_JSON_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The JSON forms of messages. The fields of well-known types are found by number: 1, 2. */
enum json_form {
	JSON_FORM_FIELDS,    /* an object with the message's fields: all other types */
	JSON_FORM_TIMESTAMP, /* seconds, nanos: RFC 3339 */
	JSON_FORM_DURATION,  /* seconds, nanos: "1.5s" */
	JSON_FORM_ANY,	     /* type_url, value: the message's object with "@type" */
	JSON_FORM_WRAPPER,   /* value: that value */
	JSON_FORM_EMPTY,     /* {}; has a form of its own inside Any */
};

enum json_form json_form_of(const ProtobufCMessageDescriptor *type);

/*
 * Returns the next character of a field's JSON name (exitCode for "exit_code"), or NUL at the end.
 * Advances *name, a pointer into the field's name in the proto.
 */
static inline char json_name_next(const char **name)
{
	bool upper = false;
	char c;

	for (; **name == '_'; ++*name)
		upper = true;
	c = **name;
	if (c)
		++*name;
	return upper && c >= 'a' && c <= 'z' ? (char)(c - ('a' - 'A')) : c;
}

/* Durations as text: "-12.5s" is -12 seconds and -500,000,000 nanoseconds. 0 or -errno. */
#define DURATION_BYTES 40
int duration_parse(const char *p, size_t n, int64_t *ret_seconds, int32_t *ret_nanos);
int duration_format(int64_t seconds, int32_t nanos, char out[DURATION_BYTES]);

#endif
