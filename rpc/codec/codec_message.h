/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two decoders share: messages built in an arena, member by member, by protobuf-c's
 * descriptors (protobuf-c.h describes them: members lie at offsets, a repeated one is a count and
 * an array, a oneof a case and a union).
 *
 * Functions that can fail return -1 or NULL and have filled the decoder's error.
 */
#ifndef RPC_CODEC_CODEC_MESSAGE_H
#define RPC_CODEC_CODEC_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "rpc/codec/codec.h"

/* A map that has entries. */
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
	unsigned depth;	      /* submessages that are open */
	struct map_ref *maps; /* for decoder_finish */
};

/* Fills the error with ERROR_INVALID_ARGUMENT and "package.Message.field: what". Returns -1. */
int decoder_fail(struct decoder *d, const ProtobufCFieldDescriptor *field, const char *what);

/* n bytes of the arena, within its limit. */
void *decoder_alloc(struct decoder *d, size_t n);

/* An empty message of the type. */
ProtobufCMessage *decoder_message(struct decoder *d, const ProtobufCMessageDescriptor *type);

/* A submessage begins, and ends: CODEC_MAX_DEPTH. */
int decoder_enter(struct decoder *d, const ProtobufCFieldDescriptor *field);
void decoder_leave(struct decoder *d);

/* Checks n bytes that lie in the arena as a string (UTF-8, no NUL); text[n] is writable. */
int decoder_string(struct decoder *d, const ProtobufCFieldDescriptor *field, char *text, size_t n);

/* The empty string that all messages share, so that lists of empty strings are cheap. */
char *decoder_empty_string(void);

/* Whether the field's values are numbers, bools or enums. */
bool field_is_scalar(const ProtobufCFieldDescriptor *field);

/* Bytes that one value of the field's type has in memory. */
size_t field_value_bytes(const ProtobufCFieldDescriptor *field);

/* Whether the field is repeated; a member of a oneof; a map (then its type is the entry's). */
bool field_is_repeated(const ProtobufCFieldDescriptor *field);
bool field_is_oneof(const ProtobufCFieldDescriptor *field);
bool field_is_map(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field);

/* The count of a repeated field, or the case of a oneof. */
size_t *field_count(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);
uint32_t *field_case(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);

/*
 * Where the field's next value goes: a new element of a repeated one, else the member itself,
 * which becomes the one of its oneof. What is there is zero, or the value the field has already.
 */
void *field_place(struct decoder *d, ProtobufCMessage *message,
		  const ProtobufCFieldDescriptor *field);

/* A value whose bits are `bits`, cut to the size of the field's scalar type. */
void field_set_scalar(const ProtobufCFieldDescriptor *field, void *place, uint64_t bits);

/*
 * Ends a decoding: puts the entries of every map in the order of their keys. Of those with one key
 * the last one stays, or, where that is asked for, they are an error. (Not at the end of each
 * message: one can come in any number of pieces that are merged.)
 */
int decoder_finish(struct decoder *d, bool duplicate_keys_fail);

/* The type that an Any of this URL carries, by what follows the last slash, or NULL. */
const ProtobufCMessageDescriptor *codec_find_type(const char *url);

/* codec_proto.c, codec_json_decode.c, codec_json_encode.c */
int proto_decode(struct decoder *d, ProtobufCMessage *message, const void *p, size_t n);
int json_decode(struct decoder *d, ProtobufCMessage *message, const void *p, size_t n);
int json_encode(const ProtobufCMessage *message, size_t headroom, char **ret, size_t *ret_bytes,
		struct error *err);
int json_encode_to(struct json_writer *out, const ProtobufCMessage *message, struct error *err);

#endif
