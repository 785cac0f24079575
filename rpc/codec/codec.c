/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/codec/codec.h"

#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rpc/codec/codec_message.h"

/* The size at which the JSON of a list is flushed, and its initial memory. */
#define LIST_FLUSH_BYTES (16 * 1024)
#define LIST_JSON_BYTES	 1024

static struct {
	const ProtobufCMessageDescriptor *types[CODEC_MAX_TYPES];
	size_t n;
} registry;

void codec_register_type(const ProtobufCMessageDescriptor *type)
{
	/* Fatal: at the start. */
	if (registry.n == CODEC_MAX_TYPES)
		fatal("codec: more than %d types for Any", CODEC_MAX_TYPES);
	registry.types[registry.n++] = type;
}

const ProtobufCMessageDescriptor *codec_find_type(const char *url)
{
	const char *slash = strrchr(url, '/'), *name = slash ? slash + 1 : url;

	for (size_t i = 0; i < registry.n; i++)
		if (strcmp(registry.types[i]->name, name) == 0)
			return registry.types[i];
	return NULL;
}

int codec_decode(enum rpc_codec codec, const ProtobufCMessageDescriptor *type, const void *p,
		 size_t n, enum error_code nul_code, struct arena *arena, ProtobufCMessage **ret,
		 struct error *err)
{
	struct decoder d = {.arena = arena, .nul_code = nul_code, .err = err};
	ProtobufCMessage *message = decoder_message(&d, type);
	int r;

	if (!message)
		return -1;
	if (n == 0)
		p = ""; /* where it was NULL */
	r = codec == RPC_CODEC_JSON ? json_decode(&d, message, p, n)
				    : proto_decode(&d, message, p, n);
	if (r < 0)
		return -1;
	*ret = message;
	return 0;
}

int codec_encode(enum rpc_codec codec, const ProtobufCMessage *message, size_t headroom, char **ret,
		 size_t *ret_bytes, struct error *err)
{
	if (codec == RPC_CODEC_JSON)
		return json_encode(message, headroom, ret, ret_bytes, err);
	*ret_bytes = protobuf_c_message_get_packed_size(message);
	*ret = mem_alloc(headroom + *ret_bytes);
	protobuf_c_message_pack(message, (uint8_t *)*ret + headroom);
	return 0;
}

void codec_list_begin(struct codec_list *list, enum rpc_codec codec,
		      const ProtobufCMessageDescriptor *type, const char *field,
		      struct evbuffer *out)
{
	*list = (struct codec_list){
		.codec = codec,
		.field = protobuf_c_message_descriptor_get_field_by_name(type, field),
		.out = out,
	};
	/* Fatal: the caller's fault; both are constants. */
	if (!list->field || type->n_fields != 1 || !field_is_repeated(list->field))
		fatal("codec: %s is no list of %s", type->name, field);
}

/* Writes the field's tag and the length of one element: two varints. */
static void list_put_tag(struct codec_list *list, size_t element_bytes)
{
	uint64_t values[2] = {(uint64_t)list->field->id << 3 | 2, element_bytes};
	uint8_t text[20];
	size_t n = 0;

	for (int i = 0; i < 2; i++) {
		for (; values[i] >= 0x80; values[i] >>= 7)
			text[n++] = (uint8_t)(values[i] | 0x80);
		text[n++] = (uint8_t)values[i];
	}
	evbuffer_add(list->out, text, n);
}

static int list_add_proto(struct codec_list *list, const ProtobufCMessage *element,
			  struct error *err)
{
	char *encoded;
	size_t n;

	if (codec_encode(RPC_CODEC_PROTO, element, 0, &encoded, &n, err) < 0)
		return -1;
	list_put_tag(list, n);
	evbuffer_add(list->out, encoded, n);
	free(encoded);
	return 0;
}

/*
 * Moves the text to `out`, except for its last `kept` bytes: the writer needs the last byte to
 * decide if a comma follows.
 */
static void list_flush(struct codec_list *list, size_t kept)
{
	struct json_writer *json = &list->json;
	size_t n = json->n - kept;

	evbuffer_add(list->out, json->data, n);
	memmove(json->data, json->data + n, kept);
	json->n = kept;
}

static int list_add_json(struct codec_list *list, const ProtobufCMessage *element,
			 struct error *err)
{
	struct json_writer *json = &list->json;
	size_t before;

	if (!json->data) {
		json_writer_init(json, 0, LIST_JSON_BYTES);
		json_put_object(json);
		json_put_name(json, list->field->name);
		json_put_array(json);
	}
	before = json->n;
	if (json_encode_to(json, element, err) < 0) {
		json->n = before;
		return -1;
	}
	if (json->n >= LIST_FLUSH_BYTES)
		list_flush(list, 1);
	return 0;
}

int codec_list_add(struct codec_list *list, const ProtobufCMessage *element, struct error *err)
{
	int r = list->codec == RPC_CODEC_JSON ? list_add_json(list, element, err)
					      : list_add_proto(list, element, err);

	if (r == 0)
		list->count++;
	return r;
}

void codec_list_end(struct codec_list *list)
{
	if (list->codec != RPC_CODEC_JSON)
		return;
	if (list->count == 0) {
		evbuffer_add(list->out, "{}", 2);
		return;
	}
	json_put_array_end(&list->json);
	json_put_object_end(&list->json);
	list_flush(list, 0);
}

void codec_list_clear(struct codec_list *list)
{
	json_writer_clear(&list->json);
}
