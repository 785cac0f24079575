#include "rpc/codec.h"

#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rpc/codec_message.h"

static struct {
	const ProtobufCMessageDescriptor *types[CODEC_MAX_TYPES];
	size_t n;
} registry;

void codec_register_type(const ProtobufCMessageDescriptor *type)
{
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

int codec_list_add(struct codec_list *list, const ProtobufCMessage *element, struct error *err)
{
	char *encoded;
	size_t n;

	if (codec_encode(list->codec, element, 0, &encoded, &n, err) < 0)
		return -1;
	if (list->codec == RPC_CODEC_PROTO)
		list_put_tag(list, n);
	else if (list->count > 0)
		evbuffer_add(list->out, ",", 1);
	else
		evbuffer_add_printf(list->out, "{\"%s\":[", list->field->name);
	evbuffer_add(list->out, encoded, n);
	free(encoded);
	list->count++;
	return 0;
}

void codec_list_end(struct codec_list *list)
{
	if (list->codec == RPC_CODEC_JSON)
		evbuffer_add(list->out, list->count > 0 ? "]}" : "{}", 2);
}
