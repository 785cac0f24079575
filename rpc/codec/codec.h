/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codecs: messages as protobuf's binary format and as proto3 JSON, by protobuf-c's
 * descriptors.
 *
 * What both check on the way in: strings are UTF-8 and have no NUL (a C string would end there),
 * and submessages nest at most CODEC_MAX_DEPTH deep. A repeated singular message is merged, of a
 * oneof the last member wins, and of a map's entries with one key the last (binary); in JSON all
 * three are errors. Fields that the descriptor does not know are skipped.
 *
 * proto3 JSON is https://protobuf.dev/programming-guides/json/ with lowerCamelCase names and the
 * well-known types Timestamp, Duration, Any and the wrappers. A oneof member is written even when
 * it is zero or empty: `oneof opt_x { T x = n; }` is how our protos spell `optional T x`.
 */
#ifndef RPC_CODEC_CODEC_H
#define RPC_CODEC_CODEC_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "rpc/codec/json.h"

struct evbuffer;

enum rpc_codec {
	RPC_CODEC_PROTO,
	RPC_CODEC_JSON,
};

/*
 * Submessages in submessages; the decoders recurse once for each. As protobuf's own C++ and Java.
 */
#define CODEC_MAX_DEPTH 100

/*
 * Decodes the n bytes at p, all of them, as one message of the type. The message and all that it
 * points to lie in the arena; none of it points into the input. An empty JSON text is an error, an
 * empty binary one is the default message.
 *
 * Errors: invalid_argument; nul_code (or invalid_argument, where it is 0) for a NUL in a string;
 * resource_exhausted where the arena's limit is too small for the message.
 */
int codec_decode(enum rpc_codec codec, const ProtobufCMessageDescriptor *type, const void *p,
		 size_t n, enum error_code nul_code, struct arena *arena, ProtobufCMessage **ret,
		 struct error *err);

/*
 * Encodes the message into one piece of memory, returned owned (free) in *ret: after `headroom`
 * bytes for the caller to fill come *ret_bytes of the message.
 *
 * Strings should be UTF-8: JSON gets U+FFFD for each byte that is not, the binary format does not
 * look. Errors: internal, for a Timestamp outside the years 1 to 9999, or an Any of a type that is
 * not registered (JSON alone).
 */
int codec_encode(enum rpc_codec codec, const ProtobufCMessage *message, size_t headroom, char **ret,
		 size_t *ret_bytes, struct error *err);

/*
 * A message whose only field is repeated (a list that can be long), written while its elements
 * are found: codec_list_begin, codec_list_add for each, codec_list_end, which has all of it in
 * `out`. `field` is the name of that field in `type`. On an error of codec_list_add nothing of that
 * element is written.
 */
struct codec_list {
	enum rpc_codec codec;
	const ProtobufCFieldDescriptor *field;
	struct evbuffer *out;
	size_t count;
	struct json_writer json; /* what is on its way to `out` */
};

void codec_list_begin(struct codec_list *list, enum rpc_codec codec,
		      const ProtobufCMessageDescriptor *type, const char *field,
		      struct evbuffer *out);
int codec_list_add(struct codec_list *list, const ProtobufCMessage *element, struct error *err);
void codec_list_end(struct codec_list *list);

/* Frees what the list itself has, also before its end, and where it was all zero. */
void codec_list_clear(struct codec_list *list);

/*
 * Makes a type known to google.protobuf.Any in JSON, which carries its message in JSON too.
 * Called before the first call of anything else here; at most CODEC_MAX_TYPES.
 */
#define CODEC_MAX_TYPES 64
void codec_register_type(const ProtobufCMessageDescriptor *type);

#endif
