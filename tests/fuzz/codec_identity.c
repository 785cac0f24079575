/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/codec_identity.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/proto/kinds.pb-c.h"

#define LIMIT_BYTES (16u * 1024 * 1024)

struct encoded {
	char *p;
	size_t n;
};

static void register_types(void)
{
	static bool registered;

	if (registered)
		return;
	registered = true;
	codec_register_type(&kinds__everything__descriptor);
	codec_register_type(&kinds__tree__descriptor);
	codec_register_type(&google__protobuf__any__descriptor);
	codec_register_type(&google__protobuf__timestamp__descriptor);
	codec_register_type(&google__protobuf__duration__descriptor);
	codec_register_type(&google__protobuf__bytes_value__descriptor);
}

/* Decodes `in` from one codec and encodes it in another. */
static void convert(enum rpc_codec from, struct encoded in, enum rpc_codec to, struct encoded *ret)
{
	struct arena arena = {0};
	ProtobufCMessage *message;
	struct error err;

	CHECK(codec_decode(from, &kinds__everything__descriptor, in.p, in.n, 0, &arena, &message,
			   &err) == 0);
	CHECK(codec_encode(to, message, 0, &ret->p, &ret->n, &err) == 0);
	arena_clear(&arena);
}

void codec_identity(enum rpc_codec codec, const uint8_t *data, size_t n)
{
	struct arena arena = {.limit_bytes = LIMIT_BYTES};
	struct encoded json, binary, again;
	ProtobufCMessage *message;
	struct error err;

	register_types();
	if (codec_decode(codec, &kinds__everything__descriptor, data, n, 0, &arena, &message,
			 &err) < 0 ||
	    codec_encode(RPC_CODEC_JSON, message, 0, &json.p, &json.n, &err) < 0) {
		CHECK(*err.message);
		arena_clear(&arena);
		return;
	}
	arena_clear(&arena);
	/* -0 and the like get lost in the binary format: once there, all stays. */
	convert(RPC_CODEC_JSON, json, RPC_CODEC_PROTO, &binary);
	free(json.p);
	convert(RPC_CODEC_PROTO, binary, RPC_CODEC_JSON, &json);
	convert(RPC_CODEC_JSON, json, RPC_CODEC_JSON, &again);
	CHECK(json.n == again.n && memcmp(json.p, again.p, json.n) == 0);
	free(again.p);
	convert(RPC_CODEC_JSON, json, RPC_CODEC_PROTO, &again);
	CHECK(binary.n == again.n && memcmp(binary.p, again.p, binary.n) == 0);
	free(again.p);
	free(binary.p);
	free(json.p);
}
