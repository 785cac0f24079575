/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codecs: encode and decode messages in protobuf's binary format and in proto3 JSON, by
 * protobuf-c's descriptors.
 *
 * Both decoders check that strings are UTF-8 without NUL (a C string would end there), and that
 * submessages nest at most CODEC_MAX_DEPTH deep. In the binary format, a singular message that
 * occurs again is merged, the last member of a oneof wins, and the last map entry with a key wins;
 * in JSON these three are errors. Unknown fields are skipped.
 *
 * proto3 JSON is https://protobuf.dev/programming-guides/json/ with lowerCamelCase names and the
 * well-known types Timestamp, Duration, Any and the wrappers. A oneof member is written even if it
 * is zero or empty: our protos write `oneof opt_x { T x = n; }` for `optional T x`.
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
 * The maximum nesting of submessages; the decoders recurse once for each level. protobuf's C++ and
 * Java have the same limit.
 */
#define CODEC_MAX_DEPTH 100

/*
 * Decodes exactly the n bytes at p as one message of the type. The message and its contents are in
 * the arena; no pointer refers to the input. An empty JSON text is an error; an empty binary text
 * is the default message.
 *
 * Errors: invalid_argument; nul_code (invalid_argument if nul_code is 0) for a NUL in a string;
 * resource_exhausted if the message exceeds the arena's limit.
 */
int codec_decode(enum rpc_codec codec, const ProtobufCMessageDescriptor *type, const void *p,
		 size_t n, enum error_code nul_code, struct arena *arena, ProtobufCMessage **ret,
		 struct error *err);

/*
 * Encodes the message into one block of memory in *ret, which the caller frees (free): `headroom`
 * bytes for the caller to fill, then *ret_bytes of the message.
 *
 * Strings should be UTF-8: JSON replaces each invalid byte by U+FFFD, the binary format does not
 * check. Errors, in JSON only: internal, for a Timestamp outside the years 1 to 9999 or an Any of
 * an unregistered type.
 */
int codec_encode(enum rpc_codec codec, const ProtobufCMessage *message, size_t headroom, char **ret,
		 size_t *ret_bytes, struct error *err);

/*
 * Encodes a long list element by element: a message `type` whose only field, `field`, is repeated.
 * Call codec_list_begin, codec_list_add for each element, then codec_list_end; afterwards the whole
 * message is in `out`. If codec_list_add fails, it writes nothing of its element.
 */
struct codec_list {
	enum rpc_codec codec;
	const ProtobufCFieldDescriptor *field;
	struct evbuffer *out;
	size_t count;
	struct json_writer json; /* text that is not in `out` yet */
};

void codec_list_begin(struct codec_list *list, enum rpc_codec codec,
		      const ProtobufCMessageDescriptor *type, const char *field,
		      struct evbuffer *out);
int codec_list_add(struct codec_list *list, const ProtobufCMessage *element, struct error *err);
void codec_list_end(struct codec_list *list);

/* Frees the list's own memory. May be called before codec_list_end, or on a list of zeros. */
void codec_list_clear(struct codec_list *list);

/*
 * Registers a type for google.protobuf.Any in JSON, where the Any contains its message as JSON.
 * Call it at most CODEC_MAX_TYPES times, before any other function of this header.
 */
#define CODEC_MAX_TYPES 64
void codec_register_type(const ProtobufCMessageDescriptor *type);

#endif
