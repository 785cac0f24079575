/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/codec/codec_log.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "rpc/codec/codec_message.h"
#include "rpc/codec/json.h"

#define NAME_BYTES 64

static void put_message(struct json_writer *out, const ProtobufCMessage *message);

static const void *member(const ProtobufCMessage *message, unsigned offset)
{
	return (const char *)message + offset;
}

/*
 * Returns the name of a oneof's group. protobuf-c's descriptors do not have it. NULL: the oneof
 * stands for an optional field (codec.h).
 */
static const char *group_name(const ProtobufCMessageDescriptor *type)
{
	static const struct {
		const char *type, *group;
	} groups[] = {
		{"process.ProcessSelector", "Selector"},
		{"process.ProcessInput", "Input"},
	};

	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		if (strcmp(groups[i].type, type->name) == 0)
			return groups[i].group;
	return NULL;
}

static void put_length(struct json_writer *out, size_t n)
{
	char text[32];

	snprintf(text, sizeof(text), "%zu bytes", n);
	json_put_string(out, text);
}

static void put_string(struct json_writer *out, const char *text)
{
	size_t n = text ? strnlen(text, CODEC_LOG_STRING_BYTES) : 0;

	/* A cut inside of a character would leave bytes that are not UTF-8. */
	while (n == CODEC_LOG_STRING_BYTES && n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	json_put_string_bytes(out, text ? text : "", n);
}

static void put_number(struct json_writer *out, const ProtobufCFieldDescriptor *field,
		       const void *place)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_DOUBLE:
		json_put_double(out, *(const double *)place);
		break;
	case PROTOBUF_C_TYPE_FLOAT:
		json_put_float(out, *(const float *)place);
		break;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		json_put_int(out, *(const int64_t *)place);
		break;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		json_put_uint(out, *(const uint64_t *)place);
		break;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		json_put_uint(out, *(const uint32_t *)place);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		json_put_bool(out, *(const protobuf_c_boolean *)place);
		break;
	default:
		json_put_int(out, *(const int32_t *)place);
	}
}

static void put_value(struct json_writer *out, const ProtobufCFieldDescriptor *field,
		      const void *place)
{
	const ProtobufCMessage *const *message = place;

	if (field->type == PROTOBUF_C_TYPE_STRING) {
		put_string(out, *(const char *const *)place);
	} else if (field->type == PROTOBUF_C_TYPE_BYTES) {
		put_length(out, ((const ProtobufCBinaryData *)place)->len);
	} else if (field->type != PROTOBUF_C_TYPE_MESSAGE) {
		put_number(out, field, place);
	} else if (*message) {
		put_message(out, *message);
	} else {
		json_put_object(out);
		json_put_object_end(out);
	}
}

/* Writes an entry of a map from strings to strings, which is an environment variable. */
static void put_variable(struct json_writer *out, const ProtobufCMessage *entry)
{
	const ProtobufCFieldDescriptor *fields = entry->descriptor->fields;
	const char *name = *(const char *const *)member(entry, fields[0].offset);
	const char *value = *(const char *const *)member(entry, fields[1].offset);

	json_put_name_bytes(out, name, strnlen(name, CODEC_LOG_STRING_BYTES));
	put_length(out, value ? strlen(value) : 0);
}

static void put_repeated(struct json_writer *out, const ProtobufCMessage *message,
			 const ProtobufCFieldDescriptor *field)
{
	size_t n = *(const size_t *)member(message, field->quantifier_offset);
	const char *array = *(const char *const *)member(message, field->offset);
	bool is_map = field_is_map(message->descriptor, field);

	if (n == 0)
		return;
	json_put_name(out, field->name);
	if (is_map)
		json_put_object(out);
	else
		json_put_array(out);
	for (size_t i = 0; i < n; i++) {
		if (out->n > CODEC_LOG_TEXT_BYTES) {
			if (is_map)
				json_put_name(out, "...");
			json_put_string(out, "...");
			break;
		}
		if (is_map)
			put_variable(out,
				     ((const ProtobufCMessage *const *)(const void *)array)[i]);
		else
			put_value(out, field, array + i * field_value_bytes(field));
	}
	if (is_map)
		json_put_object_end(out);
	else
		json_put_array_end(out);
}

/* Writes {"Group":{"Member":…}}'s inner part: the member's name has a capital, as in Go. */
static void put_group(struct json_writer *out, const char *group,
		      const ProtobufCFieldDescriptor *field, const void *place)
{
	char name[NAME_BYTES];

	snprintf(name, sizeof(name), "%s", field->name);
	if (*name >= 'a' && *name <= 'z')
		*name = (char)(*name - ('a' - 'A'));
	json_put_name(out, group);
	json_put_object(out);
	json_put_name(out, name);
	put_value(out, field, place);
	json_put_object_end(out);
}

static void put_message(struct json_writer *out, const ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;
	const char *group = group_name(type);

	json_put_object(out);
	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];
		const void *place = member(message, field->offset);

		if (field_is_repeated(field)) {
			put_repeated(out, message, field);
		} else if (field_is_oneof(field)) {
			if (*(const uint32_t *)member(message, field->quantifier_offset) !=
			    field->id)
				continue;
			if (group) {
				put_group(out, group, field, place);
				continue;
			}
			json_put_name(out, field->name);
			put_value(out, field, place);
		} else if (field_is_set(field, place)) {
			json_put_name(out, field->name);
			put_value(out, field, place);
		}
	}
	json_put_object_end(out);
}

char *codec_log_text(const ProtobufCMessage *message)
{
	struct json_writer out;
	size_t n;

	json_writer_init(&out, 0, 256);
	put_message(&out, message);
	json_append(&out, "", 1);
	return json_writer_take(&out, &n);
}
