/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decodes proto3 JSON to messages: https://protobuf.dev/programming-guides/json/.
 *
 * A function that fails has set the decoder's error; or the text is malformed, and then json_decode
 * gets the error from the lexer.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "rpc/codec/base64.h"
#include "rpc/codec/codec_json.h"
#include "rpc/codec/codec_message.h"
#include "rpc/codec/json.h"
#include "rpc/codec/rfc3339.h"

/* Names of fields, of enum values, and numbers in strings are shorter than this as written. */
#define SHORT_BYTES 256

/* Fields of one message type; ours have a dozen. */
#define MAX_FIELDS 256

/* There is no value: null, or an unknown name of an enum. */
#define ABSENT 1

static int decode_message(struct decoder *d, struct json_lexer *in, ProtobufCMessage *message,
			  const ProtobufCFieldDescriptor *field);

/* Decodes a short text without NUL and adds a NUL. Returns its length, or -1. */
static int short_text(const struct json_text *text, char out[SHORT_BYTES])
{
	size_t n;

	if (text->n >= SHORT_BYTES)
		return -1;
	n = json_text_decode(text, out);
	out[n] = '\0';
	return strlen(out) == n ? (int)n : -1;
}

/* ---- scalars ---- */

/* Gets the text of a number, which may be a string. Returns its length, or -1. */
static int number_text(const struct json_lexer *in, char buffer[SHORT_BYTES], const char **ret)
{
	int n;

	if (in->token == JSON_NUMBER) {
		*ret = in->text.p;
		return (int)in->text.n;
	}
	n = in->token == JSON_STRING ? short_text(&in->text, buffer) : -1;
	*ret = buffer;
	return n > 0 && json_number_valid(buffer, (size_t)n) ? n : -1;
}

static int integer_from_text(struct decoder *d, const ProtobufCFieldDescriptor *field,
			     const char *p, size_t n, uint64_t *ret)
{
	int64_t value = 0;
	int r;

	switch (field->type) {
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		r = json_number_uint64(p, n, ret);
		if (r == 0 && field_value_bytes(field) == 4 && *ret > UINT32_MAX)
			r = -ERANGE;
		break;
	default:
		r = json_number_int64(p, n, &value);
		if (r == 0 && field_value_bytes(field) == 4 && value != (int32_t)value)
			r = -ERANGE;
		*ret = (uint64_t)value;
	}
	if (r == -ERANGE)
		return decoder_fail(d, field, "number out of range");
	return r < 0 ? decoder_fail(d, field, "a whole number was expected") : 0;
}

static int decode_integer(struct decoder *d, struct json_lexer *in,
			  const ProtobufCFieldDescriptor *field, uint64_t *ret)
{
	char buffer[SHORT_BYTES];
	const char *p;
	int n = number_text(in, buffer, &p);

	if (n < 0)
		return decoder_fail(d, field, "a whole number was expected");
	return integer_from_text(d, field, p, (size_t)n, ret);
}

/* The three numbers that JSON's grammar has no form for (protobuf.dev, "ProtoJSON Format"). */
static bool number_by_name(const struct json_text *text, double *ret)
{
	static const struct {
		const char *name;
		double value;
	} numbers[] = {{"NaN", NAN}, {"Infinity", INFINITY}, {"-Infinity", -INFINITY}};
	size_t i;

	for (i = 0; i < ARRAY_LEN(numbers); i++) {
		if (text->n == strlen(numbers[i].name) &&
		    memcmp(text->p, numbers[i].name, text->n) == 0) {
			*ret = numbers[i].value;
			return true;
		}
	}
	return false;
}

static int decode_floating(struct decoder *d, struct json_lexer *in,
			   const ProtobufCFieldDescriptor *field, uint64_t *ret)
{
	char buffer[SHORT_BYTES];
	const char *p;
	int n = number_text(in, buffer, &p);
	uint32_t low;
	double value;
	float narrow;
	int r = 0;

	if (n >= 0)
		r = json_number_double(p, (size_t)n, &value);
	else if (in->token != JSON_STRING || !number_by_name(&in->text, &value))
		return decoder_fail(d, field, "a number was expected");

	if (field->type == PROTOBUF_C_TYPE_DOUBLE) {
		memcpy(ret, &value, 8);
	} else {
		narrow = (float)value;
		if (isinf(narrow) && !isinf(value))
			r = -ERANGE;
		memcpy(&low, &narrow, 4);
		*ret = low;
	}
	return r < 0 ? decoder_fail(d, field, "number out of range") : 0;
}

static int decode_enum(struct decoder *d, struct json_lexer *in,
		       const ProtobufCFieldDescriptor *field, uint64_t *ret)
{
	const ProtobufCEnumValue *value;
	char name[SHORT_BYTES];

	if (in->token == JSON_NUMBER)
		return decode_integer(d, in, field, ret);
	if (in->token != JSON_STRING)
		return decoder_fail(d, field, "an enum's name or number was expected");
	if (short_text(&in->text, name) < 0)
		return ABSENT;
	value = protobuf_c_enum_descriptor_get_value_by_name(field->descriptor, name);
	if (!value)
		return ABSENT;
	*ret = (uint64_t)value->value;
	return 0;
}

/* A number, bool or enum: 0, ABSENT, or -1. */
static int decode_scalar(struct decoder *d, struct json_lexer *in,
			 const ProtobufCFieldDescriptor *field, uint64_t *ret)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_BOOL:
		if (in->token != JSON_TRUE && in->token != JSON_FALSE)
			return decoder_fail(d, field, "true or false was expected");
		*ret = in->token == JSON_TRUE;
		return 0;
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_DOUBLE:
		return decode_floating(d, in, field, ret);
	case PROTOBUF_C_TYPE_ENUM:
		return decode_enum(d, in, field, ret);
	default:
		return decode_integer(d, in, field, ret);
	}
}

/* ---- strings and bytes ---- */

static int decode_text(struct decoder *d, const struct json_text *text,
		       const ProtobufCFieldDescriptor *field, char **place)
{
	if (text->n == 0) {
		*place = decoder_empty_string();
		return 0;
	}
	*place = decoder_alloc(d, text->n + 1);
	if (!*place)
		return -1;
	return decoder_string(d, field, *place, json_text_decode(text, *place));
}

/*
 * Decodes base64 that is split into lines, as base64(1) and Ruby write it: the reference ignores CR
 * and LF, which only a text with escapes can contain. `out` has room for the whole text.
 */
static ssize_t decode_lines(const struct json_text *text, char *out)
{
	size_t n = json_text_decode(text, out), kept = 0, i;

	for (i = 0; i < n; i++)
		if (out[i] != '\r' && out[i] != '\n')
			out[kept++] = out[i];
	return kept == n ? -EINVAL : base64_decode(out, out, kept);
}

static int decode_bytes(struct decoder *d, const struct json_text *text,
			const ProtobufCFieldDescriptor *field, ProtobufCBinaryData *place)
{
	const char *p = text->p;
	size_t n = text->n;
	ssize_t got;

	place->len = 0;
	place->data = NULL;
	if (n == 0)
		return 0;
	/*
	 * Decode directly from the text if it has no backslashes, otherwise from its decoded form.
	 */
	place->data = decoder_alloc(d, text->escaped ? n : base64_decoded_max_bytes(n));
	if (!place->data)
		return -1;
	if (text->escaped) {
		p = (char *)place->data;
		n = json_text_decode(text, (char *)place->data);
	}
	got = base64_decode(place->data, p, n);
	if (got < 0 && text->escaped)
		got = decode_lines(text, (char *)place->data);
	if (got < 0)
		return decoder_fail(d, field, "base64 was expected");
	place->len = (size_t)got;
	return 0;
}

/* ---- values and fields ---- */

/* Decodes a value that is not a scalar to its place. */
static int decode_place(struct decoder *d, struct json_lexer *in,
			const ProtobufCFieldDescriptor *field, void *place)
{
	ProtobufCMessage **message = place;
	int r;

	if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
		if (decoder_enter(d, field) < 0)
			return -1;
		*message = decoder_message(d, field->descriptor);
		r = *message ? decode_message(d, in, *message, field) : -1;
		decoder_leave(d);
		return r;
	}
	if (in->token != JSON_STRING)
		return decoder_fail(d, field, "a string was expected");
	if (field->type == PROTOBUF_C_TYPE_STRING)
		return decode_text(d, &in->text, field, place);
	return decode_bytes(d, &in->text, field, place);
}

/* Stores the current value as the field's value, or as its next element. 0, ABSENT, or -1. */
static int decode_value(struct decoder *d, struct json_lexer *in, ProtobufCMessage *message,
			const ProtobufCFieldDescriptor *field)
{
	uint64_t bits = 0;
	void *place;
	int r;

	if (field_is_scalar(field)) {
		r = decode_scalar(d, in, field, &bits);
		if (r)
			return r;
	}
	place = field_place(d, message, field);
	if (!place)
		return -1;
	if (!field_is_scalar(field))
		return decode_place(d, in, field, place);
	field_set_scalar(field, place, bits);
	return 0;
}

static int decode_list(struct decoder *d, struct json_lexer *in, ProtobufCMessage *message,
		       const ProtobufCFieldDescriptor *field)
{
	if (in->token != JSON_ARRAY)
		return decoder_fail(d, field, "an array was expected");
	while (json_next_element(in))
		if (decode_value(d, in, message, field) < 0)
			return -1;
	return in->token == JSON_ERROR ? -1 : 0;
}

/* A map's key is the name of a field, whatever its type. */
static int decode_key(struct decoder *d, const struct json_text *name, ProtobufCMessage *entry)
{
	const ProtobufCFieldDescriptor *key = &entry->descriptor->fields[0];
	void *place = field_place(d, entry, key);
	char text[SHORT_BYTES];
	uint64_t bits;
	int n;

	if (key->type == PROTOBUF_C_TYPE_STRING)
		return decode_text(d, name, key, place);
	n = short_text(name, text);
	if (key->type == PROTOBUF_C_TYPE_BOOL) {
		bits = n == 4 && memcmp(text, "true", 4) == 0;
		if (!bits && (n != 5 || memcmp(text, "false", 5) != 0))
			return decoder_fail(d, key, "true or false was expected");
	} else {
		if (n <= 0 || !json_number_valid(text, (size_t)n))
			return decoder_fail(d, key, "a whole number was expected");
		if (integer_from_text(d, key, text, (size_t)n, &bits) < 0)
			return -1;
	}
	field_set_scalar(key, place, bits);
	return 0;
}

static int decode_map(struct decoder *d, struct json_lexer *in, ProtobufCMessage *message,
		      const ProtobufCFieldDescriptor *field)
{
	if (in->token != JSON_OBJECT)
		return decoder_fail(d, field, "an object was expected");
	while (json_next_field(in)) {
		ProtobufCMessage *entry = decoder_message(d, field->descriptor), **place;
		int r;

		if (!entry || decode_key(d, &in->name, entry) < 0)
			return -1;
		r = decode_value(d, in, entry, &entry->descriptor->fields[1]);
		if (r < 0)
			return -1;
		if (r == ABSENT)
			continue;
		place = field_place(d, message, field);
		if (!place)
			return -1;
		*place = entry;
	}
	return in->token == JSON_ERROR ? -1 : 0;
}

/*
 * Returns true if the n bytes at p, none of them a NUL, are the field's name in the proto or in
 * JSON.
 */
static bool name_matches(const char *field, const char *p, size_t n)
{
	size_t i = 0;

	if (strlen(field) == n && memcmp(field, p, n) == 0)
		return true;
	while (i < n && json_name_next(&field) == p[i])
		i++;
	return i == n && *field == '\0';
}

/* Returns the field at which the lexer is, or NULL if it is unknown. */
static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *type,
						  const struct json_text *name)
{
	char decoded[SHORT_BYTES];
	const char *p = name->p;
	size_t n = name->n;

	if (name->escaped) {
		int got = short_text(name, decoded);

		if (got < 0)
			return NULL;
		p = decoded;
		n = (size_t)got;
	}
	for (unsigned i = 0; i < type->n_fields; i++)
		if (name_matches(type->fields[i].name, p, n))
			return &type->fields[i];
	return NULL;
}

static int decode_field(struct decoder *d, struct json_lexer *in, ProtobufCMessage *message,
			const ProtobufCFieldDescriptor *field)
{
	if (in->token == JSON_NULL)
		return 0;
	if (field_is_map(message->descriptor, field))
		return decode_map(d, in, message, field);
	if (field_is_repeated(field))
		return decode_list(d, in, message, field);
	if (field_is_oneof(field) && *field_case(message, field))
		return decoder_fail(d, field, "another field of its oneof is set");
	return decode_value(d, in, message, field) < 0 ? -1 : 0;
}

static int decode_fields(struct decoder *d, struct json_lexer *in, ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;
	uint64_t seen[MAX_FIELDS / 64] = {0};

	/* Fatal: the message types are those of rpc/proto/. */
	if (type->n_fields > MAX_FIELDS)
		fatal("codec: %s has %u fields", type->name, type->n_fields);
	while (json_next_field(in)) {
		const ProtobufCFieldDescriptor *field = find_field(type, &in->name);
		size_t i = field ? (size_t)(field - type->fields) : 0;

		if (!field) {
			json_skip(in);
			continue;
		}
		if (seen[i / 64] >> i % 64 & 1)
			return decoder_fail(d, field, "comes twice");
		seen[i / 64] |= (uint64_t)1 << i % 64;
		if (decode_field(d, in, message, field) < 0)
			return -1;
	}
	return in->token == JSON_ERROR ? -1 : 0;
}

/* ---- the well-known types ---- */

/* Seconds and nanoseconds of a Timestamp or a Duration. */
static void set_time(struct decoder *d, ProtobufCMessage *message, int64_t seconds, int32_t nanos)
{
	const ProtobufCFieldDescriptor *fields = message->descriptor->fields;

	field_set_scalar(&fields[0], field_place(d, message, &fields[0]), (uint64_t)seconds);
	field_set_scalar(&fields[1], field_place(d, message, &fields[1]), (uint64_t)nanos);
}

static int decode_time(struct decoder *d, struct json_lexer *in, ProtobufCMessage *message,
		       bool duration)
{
	char text[SHORT_BYTES];
	int64_t seconds;
	int32_t nanos;
	int n = in->token == JSON_STRING ? short_text(&in->text, text) : -1;

	if (n < 0 || (duration ? duration_parse(text, (size_t)n, &seconds, &nanos)
			       : rfc3339_parse(text, (size_t)n, &seconds, &nanos)) < 0)
		return error_set(d->err, ERROR_INVALID_ARGUMENT, "bad %s",
				 duration ? "duration" : "timestamp");
	set_time(d, message, seconds, nanos);
	return 0;
}

/* Finds "@type", at any position, in the object at which the lexer is. */
static int any_find_type(struct decoder *d, struct json_lexer in, struct json_text *ret)
{
	ret->p = NULL;
	while (json_next_field(&in)) {
		if (!json_name_is(&in, "@type")) {
			json_skip(&in);
			continue;
		}
		if (in.token != JSON_STRING || ret->p)
			return error_set(d->err, ERROR_INVALID_ARGUMENT, "Any: bad @type");
		*ret = in.text;
	}
	/* A syntax error will be found again by the second pass. */
	return 0;
}

/* The "value" of an Any whose message has a form of its own. */
static int any_decode_value(struct decoder *d, struct json_lexer *in, ProtobufCMessage *inner)
{
	bool seen = false;

	while (json_next_field(in)) {
		if (!json_name_is(in, "value")) {
			json_skip(in);
			continue;
		}
		if (seen)
			return error_set(d->err, ERROR_INVALID_ARGUMENT, "Any: two values");
		seen = true;
		if (decode_message(d, in, inner, NULL) < 0)
			return -1;
	}
	return in->token == JSON_ERROR ? -1 : 0;
}

static int decode_any(struct decoder *d, struct json_lexer *in, ProtobufCMessage *message)
{
	const ProtobufCFieldDescriptor *fields = message->descriptor->fields;
	const ProtobufCMessageDescriptor *type;
	ProtobufCBinaryData *value = field_place(d, message, &fields[1]);
	char **url = field_place(d, message, &fields[0]);
	ProtobufCMessage *inner;
	struct json_text name;
	int r;

	if (in->token != JSON_OBJECT)
		return error_set(d->err, ERROR_INVALID_ARGUMENT, "Any: an object was expected");
	if (any_find_type(d, *in, &name) < 0)
		return -1;
	if (!name.p) {
		/* {} is an Any without anything. */
		if (json_next_field(in))
			return error_set(d->err, ERROR_INVALID_ARGUMENT, "Any: no @type");
		return in->token == JSON_ERROR ? -1 : 0;
	}
	if (decode_text(d, &name, &fields[0], url) < 0)
		return -1;
	type = codec_find_type(*url);
	if (!type)
		return error_set(d->err, ERROR_INVALID_ARGUMENT, "Any: unknown type %s", *url);
	inner = decoder_message(d, type);
	if (!inner)
		return -1;
	r = json_form_of(type) == JSON_FORM_FIELDS ? decode_fields(d, in, inner)
						   : any_decode_value(d, in, inner);
	if (r < 0)
		return -1;
	value->len = protobuf_c_message_get_packed_size(inner);
	value->data = decoder_alloc(d, value->len);
	if (!value->data)
		return -1;
	protobuf_c_message_pack(inner, value->data);
	return 0;
}

/*
 * Decodes the current value as a message of any form. `field` is the field that it belongs to, or
 * NULL.
 */
static int decode_message(struct decoder *d, struct json_lexer *in, ProtobufCMessage *message,
			  const ProtobufCFieldDescriptor *field)
{
	switch (json_form_of(message->descriptor)) {
	case JSON_FORM_TIMESTAMP:
		return decode_time(d, in, message, false);
	case JSON_FORM_DURATION:
		return decode_time(d, in, message, true);
	case JSON_FORM_ANY:
		return decode_any(d, in, message);
	case JSON_FORM_WRAPPER:
		return decode_value(d, in, message, &message->descriptor->fields[0]) < 0 ? -1 : 0;
	default:
		break;
	}
	if (in->token == JSON_OBJECT)
		return decode_fields(d, in, message);
	if (field)
		return decoder_fail(d, field, "an object was expected");
	return error_set(d->err, ERROR_INVALID_ARGUMENT, "an object was expected");
}

int json_decode(struct decoder *d, ProtobufCMessage *message, const void *p, size_t n)
{
	struct json_lexer in;
	int r;

	json_lexer_init(&in, p, n);
	r = json_next(&in) == JSON_ERROR ? -1 : decode_message(d, &in, message, NULL);
	if (r < 0 && in.token != JSON_ERROR)
		return -1;
	if (json_finish(&in, d->err) < 0)
		return -1;
	return decoder_finish(d, true);
}
