/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The binary format: https://protobuf.dev/programming-guides/encoding/. protobuf-c's own decoder
 * checks no UTF-8, keeps unknown fields, and has no bound on its memory.
 */
#include <string.h>

#include "rpc/codec/codec_message.h"

enum wire_type {
	WIRE_VARINT = 0,
	WIRE_FIXED64 = 1,
	WIRE_BYTES = 2,
	WIRE_GROUP = 3,
	WIRE_GROUP_END = 4,
	WIRE_FIXED32 = 5,
};

/* Field numbers have 29 bits. */
#define WIRE_MAX_FIELD 0x1fffffffu

struct wire {
	const uint8_t *p, *end;
};

static int truncated(struct decoder *d)
{
	return error_set(d->err, ERROR_INVALID_ARGUMENT, "binary message: cut short");
}

/* A varint of at most ten bytes and 64 bits. */
static int read_varint(struct decoder *d, struct wire *in, uint64_t *ret)
{
	uint64_t value = 0;
	unsigned shift = 0;

	for (;;) {
		uint8_t byte;

		if (in->p == in->end)
			return truncated(d);
		byte = *in->p++;
		if (shift == 63 && byte > 1)
			return error_set(d->err, ERROR_INVALID_ARGUMENT,
					 "binary message: a varint of more than 64 bits");
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			break;
		shift += 7;
	}
	*ret = value;
	return 0;
}

static int read_tag(struct decoder *d, struct wire *in, uint32_t *ret_number,
		    enum wire_type *ret_type)
{
	uint64_t tag;

	if (read_varint(d, in, &tag) < 0)
		return -1;
	if (tag >> 3 == 0 || tag >> 3 > WIRE_MAX_FIELD)
		return error_set(d->err, ERROR_INVALID_ARGUMENT,
				 "binary message: a field number out of range");
	*ret_number = (uint32_t)(tag >> 3);
	*ret_type = tag & 7;
	return 0;
}

/* The bytes of a length-delimited value. */
static int read_bytes(struct decoder *d, struct wire *in, struct wire *ret)
{
	uint64_t n;

	if (read_varint(d, in, &n) < 0)
		return -1;
	if (n > (size_t)(in->end - in->p))
		return truncated(d);
	ret->p = in->p;
	ret->end = in->p += n;
	return 0;
}

/* Little endian, on any machine. */
static int read_fixed(struct decoder *d, struct wire *in, size_t n, uint64_t *ret)
{
	uint64_t value = 0;

	if ((size_t)(in->end - in->p) < n)
		return truncated(d);
	for (size_t i = 0; i < n; i++)
		value |= (uint64_t)in->p[i] << 8 * i;
	in->p += n;
	*ret = value;
	return 0;
}

/* Skips a value that is not a group. */
static int skip_value(struct decoder *d, struct wire *in, enum wire_type type)
{
	struct wire bytes;
	uint64_t value;

	switch (type) {
	case WIRE_VARINT:
		return read_varint(d, in, &value);
	case WIRE_FIXED64:
		return read_fixed(d, in, 8, &value);
	case WIRE_FIXED32:
		return read_fixed(d, in, 4, &value);
	case WIRE_BYTES:
		return read_bytes(d, in, &bytes);
	default:
		return error_set(d->err, ERROR_INVALID_ARGUMENT, "binary message: wire type %u",
				 type);
	}
}

/* Passes over the unknown field `number`; a group (proto2 has them) up to its own end. */
static int skip_field(struct decoder *d, struct wire *in, uint32_t number, enum wire_type type)
{
	uint32_t open[CODEC_MAX_DEPTH];
	unsigned depth = 0;

	for (;;) {
		if (type == WIRE_GROUP) {
			if (depth == CODEC_MAX_DEPTH)
				return error_set(d->err, ERROR_INVALID_ARGUMENT,
						 "binary message: nested too deeply");
			open[depth++] = number;
		} else if (type == WIRE_GROUP_END) {
			/* cppcheck-suppress uninitvar ; depth tells how many are set */
			if (depth == 0 || open[--depth] != number)
				return error_set(d->err, ERROR_INVALID_ARGUMENT,
						 "binary message: a group ends that has not begun");
		} else if (skip_value(d, in, type) < 0) {
			return -1;
		}
		if (depth == 0)
			return 0;
		if (read_tag(d, in, &number, &type) < 0)
			return -1;
	}
}

/* How a value of the field's type is written. */
static enum wire_type field_wire_type(const ProtobufCFieldDescriptor *field)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return WIRE_FIXED32;
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return WIRE_FIXED64;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return WIRE_BYTES;
	default:
		return WIRE_VARINT;
	}
}

/* Returns true if the field may have this wire type; a list of scalars is packed or not. */
static bool is_wire_type_of(enum wire_type type, const ProtobufCFieldDescriptor *field)
{
	return type == field_wire_type(field) || (type == WIRE_BYTES && field_is_repeated(field));
}

static int decode_scalar(struct decoder *d, ProtobufCMessage *message,
			 const ProtobufCFieldDescriptor *field, struct wire *in)
{
	enum wire_type type = field_wire_type(field);
	uint64_t bits;
	void *place;

	if (type == WIRE_VARINT ? read_varint(d, in, &bits) < 0
				: read_fixed(d, in, type == WIRE_FIXED32 ? 4 : 8, &bits) < 0)
		return -1;
	if (field->type == PROTOBUF_C_TYPE_SINT64)
		bits = bits >> 1 ^ -(bits & 1);
	else if (field->type == PROTOBUF_C_TYPE_SINT32)
		bits = (uint32_t)bits >> 1 ^ -((uint32_t)bits & 1);
	place = field_place(d, message, field);
	if (!place)
		return -1;
	field_set_scalar(field, place, bits);
	return 0;
}

static int decode_string(struct decoder *d, const ProtobufCFieldDescriptor *field,
			 const struct wire *in, char **place)
{
	size_t n = (size_t)(in->end - in->p);
	char *text;

	if (n == 0) {
		*place = decoder_empty_string();
		return 0;
	}
	text = decoder_alloc(d, n + 1);
	if (!text)
		return -1;
	memcpy(text, in->p, n);
	*place = text;
	return decoder_string(d, field, text, n);
}

static int decode_bytes(struct decoder *d, const struct wire *in, ProtobufCBinaryData *place)
{
	size_t n = (size_t)(in->end - in->p);

	place->len = n;
	place->data = NULL;
	if (n == 0)
		return 0;
	place->data = decoder_alloc(d, n);
	if (!place->data)
		return -1;
	memcpy(place->data, in->p, n);
	return 0;
}

static int decode_fields(struct decoder *d, ProtobufCMessage *message, struct wire *in);

/* Decodes a submessage; merges it into an existing one. */
static int decode_submessage(struct decoder *d, const ProtobufCFieldDescriptor *field,
			     struct wire *in, ProtobufCMessage **place)
{
	int r;

	if (decoder_enter(d, field) < 0)
		return -1;
	if (!*place)
		*place = decoder_message(d, field->descriptor);
	r = *place ? decode_fields(d, *place, in) : -1;
	decoder_leave(d);
	return r;
}

/* Decodes a known field whose wire type is the one of its type, or of a packed list. */
static int decode_field(struct decoder *d, ProtobufCMessage *message,
			const ProtobufCFieldDescriptor *field, struct wire *in, enum wire_type type)
{
	struct wire bytes;
	void *place;

	if (type != WIRE_BYTES)
		return decode_scalar(d, message, field, in);
	if (read_bytes(d, in, &bytes) < 0)
		return -1;
	if (field_is_scalar(field)) {
		while (bytes.p < bytes.end)
			if (decode_scalar(d, message, field, &bytes) < 0)
				return -1;
		return 0;
	}
	place = field_place(d, message, field);
	if (!place)
		return -1;
	if (field->type == PROTOBUF_C_TYPE_STRING)
		return decode_string(d, field, &bytes, place);
	if (field->type == PROTOBUF_C_TYPE_BYTES)
		return decode_bytes(d, &bytes, place);
	return decode_submessage(d, field, &bytes, place);
}

static int decode_fields(struct decoder *d, ProtobufCMessage *message, struct wire *in)
{
	while (in->p < in->end) {
		const ProtobufCFieldDescriptor *field;
		enum wire_type type = WIRE_VARINT;
		uint32_t number = 0;
		int r;

		if (read_tag(d, in, &number, &type) < 0)
			return -1;
		field = protobuf_c_message_descriptor_get_field(message->descriptor, number);
		if (field && is_wire_type_of(type, field))
			r = decode_field(d, message, field, in, type);
		else
			r = skip_field(d, in, number, type);
		if (r < 0)
			return -1;
	}
	return 0;
}

int proto_decode(struct decoder *d, ProtobufCMessage *message, const void *p, size_t n)
{
	struct wire in = {.p = p, .end = (const uint8_t *)p + n};

	return decode_fields(d, message, &in) < 0 ? -1 : decoder_finish(d, false);
}
