/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/codec/codec_message.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

int decoder_fail(struct decoder *d, const ProtobufCFieldDescriptor *field, const char *what)
{
	return error_set(d->err, ERROR_INVALID_ARGUMENT, "field %s: %s", field->name, what);
}

void *decoder_alloc(struct decoder *d, size_t n)
{
	void *p = arena_try_alloc(d->arena, n);

	if (!p)
		error_set(d->err, ERROR_RESOURCE_EXHAUSTED, "message too large in memory");
	return p;
}

ProtobufCMessage *decoder_message(struct decoder *d, const ProtobufCMessageDescriptor *type)
{
	ProtobufCMessage *message = decoder_alloc(d, type->sizeof_message);

	if (message)
		type->message_init(message);
	return message;
}

int decoder_enter(struct decoder *d, const ProtobufCFieldDescriptor *field)
{
	if (d->depth == CODEC_MAX_DEPTH)
		return decoder_fail(d, field, "nested too deeply");
	d->depth++;
	return 0;
}

void decoder_leave(struct decoder *d)
{
	d->depth--;
}

int decoder_string(struct decoder *d, const ProtobufCFieldDescriptor *field, char *text, size_t n)
{
	if (!utf8_valid(text, n))
		return decoder_fail(d, field, "invalid UTF-8");
	if (memchr(text, '\0', n))
		return error_set(d->err, d->nul_code ? d->nul_code : ERROR_INVALID_ARGUMENT,
				 "field %s: contains a NUL", field->name);
	text[n] = '\0';
	return 0;
}

char *decoder_empty_string(void)
{
	/*
	 * Not protobuf_c_empty_string: in a oneof, protobuf-c's packer takes that one for absent.
	 */
	static char empty[1];

	return empty;
}

bool field_is_scalar(const ProtobufCFieldDescriptor *field)
{
	return field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_BYTES &&
	       field->type != PROTOBUF_C_TYPE_MESSAGE;
}

size_t field_value_bytes(const ProtobufCFieldDescriptor *field)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	default:
		return 4;
	}
}

bool field_is_set(const ProtobufCFieldDescriptor *field, const void *place)
{
	static const char zero[8];
	const char *const *string = place;

	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		return *string && **string;
	case PROTOBUF_C_TYPE_BYTES:
		return ((const ProtobufCBinaryData *)place)->len > 0;
	case PROTOBUF_C_TYPE_MESSAGE:
		return *string != NULL;
	default:
		/* By its bits: -0.0 is not the default. */
		return memcmp(place, zero, field_value_bytes(field)) != 0;
	}
}

bool field_is_repeated(const ProtobufCFieldDescriptor *field)
{
	return field->label == PROTOBUF_C_LABEL_REPEATED;
}

bool field_is_oneof(const ProtobufCFieldDescriptor *field)
{
	return field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
}

/*
 * protobuf-c leaves no mark on a map, but protoc names the entry's message after the field:
 * "process.ProcessConfig.EnvsEntry" for `envs` in "process.ProcessConfig".
 */
bool field_is_map(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field)
{
	const ProtobufCMessageDescriptor *entry = field->descriptor;
	const char *name, *f;
	size_t n = strlen(type->name);
	bool upper = true;

	if (!field_is_repeated(field) || field->type != PROTOBUF_C_TYPE_MESSAGE)
		return false;
	name = entry->name;
	if (entry->n_fields != 2 || entry->fields[0].id != 1 || entry->fields[1].id != 2 ||
	    strncmp(name, type->name, n) != 0 || name[n] != '.')
		return false;
	name += n + 1;
	for (f = field->name; *f; f++) {
		char c = *f;

		if (c == '_') {
			upper = true;
			continue;
		}
		if (upper && c >= 'a' && c <= 'z')
			c -= 'a' - 'A';
		upper = false;
		if (*name++ != c)
			return false;
	}
	return strcmp(name, "Entry") == 0;
}

static void *member(ProtobufCMessage *message, unsigned offset)
{
	return (char *)message + offset;
}

/* Returns the address of the count of a repeated field. */
static size_t *field_count(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	return member(message, field->quantifier_offset);
}

uint32_t *field_case(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	return member(message, field->quantifier_offset);
}

/* Records that the field, which will get its first element, is a map. */
static int note_map(struct decoder *d, ProtobufCMessage *message,
		    const ProtobufCFieldDescriptor *field)
{
	struct map_ref *ref;

	if (!field_is_map(message->descriptor, field))
		return 0;
	ref = decoder_alloc(d, sizeof(*ref));
	if (!ref)
		return -1;
	*ref = (struct map_ref){.message = message, .field = field, .next = d->maps};
	d->maps = ref;
	return 0;
}

/* A new element at the end of a repeated field; the array has room for the next power of two. */
static void *array_add(struct decoder *d, ProtobufCMessage *message,
		       const ProtobufCFieldDescriptor *field)
{
	size_t *n = field_count(message, field), bytes = field_value_bytes(field);
	char **array = member(message, field->offset), *larger;

	if (*n == 0 && note_map(d, message, field) < 0)
		return NULL;
	if ((*n & (*n - 1)) == 0) {
		larger = decoder_alloc(d, (*n ? *n * 2 : 1) * bytes);
		if (!larger)
			return NULL;
		if (*n)
			memcpy(larger, *array, *n * bytes);
		*array = larger;
	}
	return memset(*array + (*n)++ * bytes, 0, bytes);
}

void *field_place(struct decoder *d, ProtobufCMessage *message,
		  const ProtobufCFieldDescriptor *field)
{
	void *place = member(message, field->offset);

	if (field_is_repeated(field))
		return array_add(d, message, field);
	if (field_is_oneof(field) && *field_case(message, field) != field->id) {
		*field_case(message, field) = field->id;
		memset(place, 0, field_value_bytes(field));
	}
	return place;
}

void field_set_scalar(const ProtobufCFieldDescriptor *field, void *place, uint64_t bits)
{
	uint32_t low = (uint32_t)bits;

	if (field->type == PROTOBUF_C_TYPE_BOOL)
		*(protobuf_c_boolean *)place = bits != 0;
	else if (field_value_bytes(field) == 8)
		memcpy(place, &bits, 8);
	else
		memcpy(place, &low, 4);
}

/* An entry during the sort, which must not change the order of equal ones. */
struct map_item {
	ProtobufCMessage *entry;
	size_t index;
};

static int key_compare(const struct map_item *a, const struct map_item *b)
{
	const ProtobufCFieldDescriptor *key = &a->entry->descriptor->fields[0];
	const void *x = member(a->entry, key->offset), *y = member(b->entry, key->offset);

	if (key->type == PROTOBUF_C_TYPE_STRING)
		return strcmp(*(char *const *)x, *(char *const *)y);
	/* For numbers any total order suffices. */
	return memcmp(x, y, field_value_bytes(key));
}

static int item_compare(const void *x, const void *y)
{
	const struct map_item *a = x, *b = y;
	int order = key_compare(a, b);

	return order ? order : a->index < b->index ? -1 : 1;
}

/* Returns false if a key occurred twice. */
static bool map_sort(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	ProtobufCMessage ***array = member(message, field->offset);
	size_t *count = field_count(message, field), n = *count, kept = 0;
	struct map_item *items;

	if (n < 2)
		return true;
	/*
	 * Not in the arena, because it is not a part of the message. The arena's limit bounds the
	 * count.
	 */
	items = mem_alloc(n * sizeof(*items));
	for (size_t i = 0; i < n; i++)
		items[i] = (struct map_item){.entry = (*array)[i], .index = i};
	qsort(items, n, sizeof(*items), item_compare);
	for (size_t i = 0; i < n; i++)
		if (i + 1 == n || key_compare(&items[i], &items[i + 1]) != 0)
			(*array)[kept++] = items[i].entry;
	free(items);
	*count = kept;
	return kept == n;
}

int decoder_finish(struct decoder *d, bool duplicate_keys_fail)
{
	for (struct map_ref *ref = d->maps; ref; ref = ref->next)
		if (!map_sort(ref->message, ref->field) && duplicate_keys_fail)
			return decoder_fail(d, ref->field, "a key comes twice");
	return 0;
}
