/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages to proto3 JSON: https://protobuf.dev/programming-guides/json/.
 */
#include <inttypes.h>
#include <string.h>

#include "rpc/codec/codec_json.h"
#include "rpc/codec/codec_message.h"
#include "rpc/codec/json.h"
#include "rpc/codec/rfc3339.h"

/* Field names are shorter. */
#define NAME_BYTES 128

/* Room for names and braces around what a message carries. */
#define SPARE_BYTES 256

/* The maximum memory of the decoded message in an Any. */
#define ANY_MAX_BYTES (64u * 1024 * 1024)

static int put_message(struct json_writer *out, const ProtobufCMessage *message, struct error *err);

static const void *member(const ProtobufCMessage *message, unsigned offset)
{
	return (const char *)message + offset;
}

static void put_field_name(struct json_writer *out, const ProtobufCFieldDescriptor *field)
{
	const char *name = field->name;
	char text[NAME_BYTES];
	size_t n = 0;
	char c;

	while (n < sizeof(text) && (c = json_name_next(&name)) != '\0')
		text[n++] = c;
	json_put_name_bytes(out, text, n);
}

/* Writes a value of the field's type that is not a message. */
static void scalar_text(const ProtobufCFieldDescriptor *field, const void *place,
			char text[JSON_INTEGER_BYTES])
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		json_int_text(*(const int64_t *)place, text);
		break;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		json_uint_text(*(const uint64_t *)place, text);
		break;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		json_uint_text(*(const uint32_t *)place, text);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		strcpy(text, *(const protobuf_c_boolean *)place ? "true" : "false");
		break;
	default:
		json_int_text(*(const int32_t *)place, text);
	}
}

static void put_scalar(struct json_writer *out, const ProtobufCFieldDescriptor *field,
		       const void *place)
{
	const ProtobufCEnumValue *value;
	char text[JSON_INTEGER_BYTES];

	if (field->type == PROTOBUF_C_TYPE_DOUBLE) {
		json_put_double(out, *(const double *)place);
		return;
	}
	if (field->type == PROTOBUF_C_TYPE_FLOAT) {
		json_put_float(out, *(const float *)place);
		return;
	}
	if (field->type == PROTOBUF_C_TYPE_ENUM) {
		value = protobuf_c_enum_descriptor_get_value(field->descriptor,
							     *(const int32_t *)place);
		if (value) {
			json_put_string(out, value->name);
			return;
		}
	}
	scalar_text(field, place, text);
	if (field_value_bytes(field) == 8)
		json_put_string(out, text);
	else
		json_put_raw(out, text, strlen(text));
}

static int put_value(struct json_writer *out, const ProtobufCFieldDescriptor *field,
		     const void *place, struct error *err)
{
	const ProtobufCBinaryData *bytes = place;
	const char *const *string = place;
	const ProtobufCMessage *const *message = place;

	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		json_put_string(out, *string ? *string : "");
		return 0;
	case PROTOBUF_C_TYPE_BYTES:
		json_put_base64(out, bytes->data, bytes->len);
		return 0;
	case PROTOBUF_C_TYPE_MESSAGE:
		if (*message)
			return put_message(out, *message, err);
		/* A map's entry that came without its value has the default one. */
		json_put_object(out);
		json_put_object_end(out);
		return 0;
	default:
		put_scalar(out, field, place);
		return 0;
	}
}

static int put_map(struct json_writer *out, const ProtobufCFieldDescriptor *field,
		   const ProtobufCMessage *const *entries, size_t n, struct error *err)
{
	json_put_object(out);
	for (size_t i = 0; i < n; i++) {
		const ProtobufCFieldDescriptor *fields = entries[i]->descriptor->fields;
		const void *key = member(entries[i], fields[0].offset);
		char text[JSON_INTEGER_BYTES];

		if (fields[0].type == PROTOBUF_C_TYPE_STRING) {
			json_put_name(out, *(const char *const *)key);
		} else {
			scalar_text(&fields[0], key, text);
			json_put_name(out, text);
		}
		if (put_value(out, &fields[1], member(entries[i], fields[1].offset), err) < 0)
			return -1;
	}
	json_put_object_end(out);
	return 0;
}

static int put_repeated(struct json_writer *out, const ProtobufCMessage *message,
			const ProtobufCFieldDescriptor *field, struct error *err)
{
	size_t n = *(const size_t *)member(message, field->quantifier_offset);
	const char *array = *(const char *const *)member(message, field->offset);

	if (n == 0)
		return 0;
	put_field_name(out, field);
	if (field_is_map(message->descriptor, field))
		return put_map(out, field, (const void *)array, n, err);
	json_put_array(out);
	for (size_t i = 0; i < n; i++)
		if (put_value(out, field, array + i * field_value_bytes(field), err) < 0)
			return -1;
	json_put_array_end(out);
	return 0;
}

static int put_fields(struct json_writer *out, const ProtobufCMessage *message, struct error *err)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;

	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];
		const void *place = member(message, field->offset);

		if (field_is_repeated(field)) {
			if (put_repeated(out, message, field, err) < 0)
				return -1;
			continue;
		}
		if (field_is_oneof(field) ? *(const uint32_t *)member(
						    message, field->quantifier_offset) != field->id
					  : !field_is_set(field, place))
			continue;
		put_field_name(out, field);
		if (put_value(out, field, place, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- the well-known types ---- */

static int put_timestamp(struct json_writer *out, const ProtobufCMessage *message,
			 struct error *err)
{
	const ProtobufCFieldDescriptor *fields = message->descriptor->fields;
	int64_t seconds = *(const int64_t *)member(message, fields[0].offset);
	int32_t nanos = *(const int32_t *)member(message, fields[1].offset);
	char text[RFC3339_BYTES];

	if (rfc3339_format(seconds, nanos, text) < 0)
		return error_set(err, ERROR_INTERNAL, "timestamp out of range: %" PRId64 " s",
				 seconds);
	json_put_string(out, text);
	return 0;
}

static int put_duration(struct json_writer *out, const ProtobufCMessage *message, struct error *err)
{
	const ProtobufCFieldDescriptor *fields = message->descriptor->fields;
	int64_t seconds = *(const int64_t *)member(message, fields[0].offset);
	int32_t nanos = *(const int32_t *)member(message, fields[1].offset);
	char text[DURATION_BYTES];

	if (duration_format(seconds, nanos, text) < 0)
		return error_set(err, ERROR_INTERNAL, "duration out of range: %" PRId64 " s",
				 seconds);
	json_put_string(out, text);
	return 0;
}

/* Any carries its message packed; to be written by fields it is decoded first. */
static int put_any(struct json_writer *out, const ProtobufCMessage *message, struct error *err)
{
	const ProtobufCFieldDescriptor *fields = message->descriptor->fields;
	const char *url = *(const char *const *)member(message, fields[0].offset);
	const ProtobufCBinaryData *value = member(message, fields[1].offset);
	const ProtobufCMessageDescriptor *type;
	struct arena arena = {.limit_bytes = ANY_MAX_BYTES};
	ProtobufCMessage *inner;
	int r;

	if (!*url && value->len == 0) {
		json_put_object(out);
		json_put_object_end(out);
		return 0;
	}
	type = codec_find_type(url);
	if (!type)
		return error_set(err, ERROR_INTERNAL, "Any: unknown type %s", url);
	r = codec_decode(RPC_CODEC_PROTO, type, value->data, value->len, 0, &arena, &inner, err);
	if (r == 0) {
		json_put_object(out);
		json_put_name(out, "@type");
		json_put_string(out, url);
		if (json_form_of(type) == JSON_FORM_FIELDS) {
			r = put_fields(out, inner, err);
		} else {
			json_put_name(out, "value");
			r = put_message(out, inner, err);
		}
		json_put_object_end(out);
	}
	arena_clear(&arena);
	return r;
}

static int put_message(struct json_writer *out, const ProtobufCMessage *message, struct error *err)
{
	const ProtobufCFieldDescriptor *fields = message->descriptor->fields;

	switch (json_form_of(message->descriptor)) {
	case JSON_FORM_TIMESTAMP:
		return put_timestamp(out, message, err);
	case JSON_FORM_DURATION:
		return put_duration(out, message, err);
	case JSON_FORM_ANY:
		return put_any(out, message, err);
	case JSON_FORM_WRAPPER:
		return put_value(out, &fields[0], member(message, fields[0].offset), err);
	default:
		break;
	}
	json_put_object(out);
	if (put_fields(out, message, err) < 0)
		return -1;
	json_put_object_end(out);
	return 0;
}

int json_encode_to(struct json_writer *out, const ProtobufCMessage *message, struct error *err)
{
	return put_message(out, message, err);
}

int json_encode(const ProtobufCMessage *message, size_t headroom, char **ret, size_t *ret_bytes,
		struct error *err)
{
	/* Large messages consist of bytes in base64, for which this estimate suffices. */
	size_t expected = protobuf_c_message_get_packed_size(message) / 3 * 4 + SPARE_BYTES;
	struct json_writer out;

	json_writer_init(&out, headroom, expected);
	if (put_message(&out, message, err) < 0) {
		json_writer_clear(&out);
		return -1;
	}
	*ret = json_writer_take(&out, ret_bytes);
	return 0;
}
