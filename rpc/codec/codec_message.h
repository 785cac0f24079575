/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the two decoders: builds messages in an arena, member by member, by protobuf-c's
 * descriptors (see protobuf-c.h: each member has an offset, a repeated member is a count and an
 * array, a oneof is a case and a union).
 *
 * Functions that can fail fill the decoder's error and return -1 or NULL.
 */
#ifndef RPC_CODEC_CODEC_MESSAGE_H
#define RPC_CODEC_CODEC_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "rpc/codec/codec.h"

/* A map field that has entries, for decoder_finish. */
struct map_ref {
	ProtobufCMessage *message;
	const ProtobufCFieldDescriptor *field;
	struct map_ref *next;
};

/* One decoding. */
struct decoder {
	struct arena *arena;
	enum error_code nul_code;
	struct error *err;
	unsigned depth;	      /* current nesting of submessages */
	struct map_ref *maps; /* for decoder_finish */
};

/* Fills the error with ERROR_INVALID_ARGUMENT and "package.Message.field: what". Returns -1. */
int decoder_fail(struct decoder *d, const ProtobufCFieldDescriptor *field, const char *what);

/* Allocates n bytes from the arena, within its limit. */
void *decoder_alloc(struct decoder *d, size_t n);

/* Allocates an empty message of the type. */
ProtobufCMessage *decoder_message(struct decoder *d, const ProtobufCMessageDescriptor *type);

/* Called at the beginning and at the end of a submessage. Enforces CODEC_MAX_DEPTH. */
int decoder_enter(struct decoder *d, const ProtobufCFieldDescriptor *field);
void decoder_leave(struct decoder *d);

/* Checks n bytes that lie in the arena as a string (UTF-8, no NUL); text[n] is writable. */
int decoder_string(struct decoder *d, const ProtobufCFieldDescriptor *field, char *text, size_t n);

/* The empty string that all messages share, so that lists of empty strings are cheap. */
char *decoder_empty_string(void);

/* Returns true if the field's values are numbers, bools or enums. */
bool field_is_scalar(const ProtobufCFieldDescriptor *field);

/* Returns the size in memory of one value of the field's type, in bytes. */
size_t field_value_bytes(const ProtobufCFieldDescriptor *field);

/* Returns true if a field without presence differs from its default: is not zero, or not empty. */
bool field_is_set(const ProtobufCFieldDescriptor *field, const void *place);

/* Tell whether the field is repeated; a member of a oneof; a map (its type is the entry's type). */
bool field_is_repeated(const ProtobufCFieldDescriptor *field);
bool field_is_oneof(const ProtobufCFieldDescriptor *field);
bool field_is_map(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field);

/* Returns the address of a oneof's case. */
uint32_t *field_case(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);

/*
 * Returns the address for the field's next value: a new element of a repeated field, else the
 * member itself, which becomes the selected member of its oneof. The memory is zero, or has the
 * field's present value.
 */
void *field_place(struct decoder *d, ProtobufCMessage *message,
		  const ProtobufCFieldDescriptor *field);

/* Stores `bits` as a value at `place`, cut to the size of the field's scalar type. */
void field_set_scalar(const ProtobufCFieldDescriptor *field, void *place, uint64_t bits);

/*
 * Ends a decoding: sorts the entries of each map by key. If entries have the same key, the last one
 * is kept, or it is an error if duplicate_keys_fail. (This can't be done at the end of each
 * message, because a message may come in several pieces that are merged.)
 */
int decoder_finish(struct decoder *d, bool duplicate_keys_fail);

/* Finds the registered type of an Any by the part of its URL after the last slash, or NULL. */
const ProtobufCMessageDescriptor *codec_find_type(const char *url);

/* codec_proto.c, codec_json_decode.c, codec_json_encode.c */
int proto_decode(struct decoder *d, ProtobufCMessage *message, const void *p, size_t n);
int json_decode(struct decoder *d, ProtobufCMessage *message, const void *p, size_t n);
int json_encode(const ProtobufCMessage *message, size_t headroom, char **ret, size_t *ret_bytes,
		struct error *err);
int json_encode_to(struct json_writer *out, const ProtobufCMessage *message, struct error *err);

#endif
