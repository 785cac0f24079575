/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/metadata.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "fs/entry.h"
#include "rpc/http/http_head.h"

#define PREFIX_BYTES (sizeof(FS_METADATA_PREFIX) - 1)

#define FIELD	    "x-metadata-"
#define FIELD_BYTES (sizeof(FIELD) - 1)

/* The size of the stack buffer for attribute names: it suffices for most files. */
#define SMALL_BYTES 1024

static int item_order(const void *a, const void *b)
{
	const struct fs_metadata_item *x = a, *y = b;

	return strcmp(x->key, y->key);
}

static const struct fs_metadata_item *find_item(const struct fs_metadata *metadata, const char *key)
{
	size_t i;

	for (i = 0; i < metadata->n; i++)
		if (strcmp(metadata->items[i].key, key) == 0)
			return &metadata->items[i];
	return NULL;
}

/* Returns 0, or -1 if the text contains a byte other than printable ASCII. */
static int check_text(const char *what, const char *text, struct error *err)
{
	size_t i;

	for (i = 0; text[i]; i++)
		if (text[i] < 0x20 || text[i] > 0x7e)
			return error_set(
				err, ERROR_INVALID_ARGUMENT,
				"invalid metadata: metadata %s contains non-printable-ASCII "
				"byte 0x%02x at offset %zu",
				what, (unsigned char)text[i], i);
	return 0;
}

int fs_metadata_parse(const struct http_head *head, struct arena *arena, struct fs_metadata *ret,
		      struct error *err)
{
	const struct http_field *field;
	size_t total = 0;
	const char *key;
	unsigned i;

	ret->n = 0;
	ret->items = NULL;
	for (i = 0; i < head->n_fields; i++) {
		field = &head->fields[i];
		key = field->name + FIELD_BYTES;
		if (strncmp(field->name, FIELD, FIELD_BYTES) != 0 || !*key || find_item(ret, key))
			continue;
		if (strlen(key) > FS_METADATA_KEY_MAX_BYTES)
			return error_set(err, ERROR_INVALID_ARGUMENT,
					 "invalid metadata: metadata key \"%s\" exceeds %d bytes",
					 key, FS_METADATA_KEY_MAX_BYTES);
		if (check_text("key", key, err) < 0 ||
		    check_text(arena_printf(arena, "value for key \"%s\"", key), field->value,
			       err) < 0)
			return -1;
		total += PREFIX_BYTES + strlen(key) + field->value_bytes;
		if (total > FS_METADATA_TOTAL_MAX_BYTES)
			continue;
		if (!ret->items)
			ret->items = arena_alloc(arena, head->n_fields * sizeof(*ret->items));
		ret->items[ret->n++] = (struct fs_metadata_item){arena_strdup(arena, key),
								 arena_strdup(arena, field->value)};
	}
	if (total > FS_METADATA_TOTAL_MAX_BYTES)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "invalid metadata: total metadata size %zu exceeds %d bytes",
				 total, FS_METADATA_TOTAL_MAX_BYTES);
	if (ret->n)
		qsort(ret->items, ret->n, sizeof(*ret->items), item_order);
	return 0;
}

/* Removes the metadata attributes among `names` that are not in the new set. */
static int remove_others(int fd, const char *names, size_t n, const struct fs_metadata *metadata)
{
	const char *name;

	for (name = names; name < names + n; name += strlen(name) + 1) {
		if (strncmp(name, FS_METADATA_PREFIX, PREFIX_BYTES) != 0 ||
		    find_item(metadata, name + PREFIX_BYTES))
			continue;
		if (fremovexattr(fd, name) < 0 && errno != ENODATA)
			return -errno;
	}
	return 0;
}

/* Removes the file's old metadata that is not in the new set. */
static int clear_old(int fd, const struct fs_metadata *metadata)
{
	char small[SMALL_BYTES], *names = small;
	ssize_t n = flistxattr(fd, small, sizeof(small));
	int r;

	if (n < 0 && errno == ERANGE) {
		names = mem_alloc(XATTR_LIST_MAX);
		n = flistxattr(fd, names, XATTR_LIST_MAX);
	}
	r = n < 0 ? -errno : remove_others(fd, names, (size_t)n, metadata);
	if (names != small)
		free(names);
	return r;
}

int fs_metadata_write(int fd, const struct fs_metadata *metadata, bool is_new)
{
	char name[PREFIX_BYTES + FS_METADATA_KEY_MAX_BYTES + 1] = FS_METADATA_PREFIX;
	const struct fs_metadata_item *item;
	int r = is_new ? 0 : clear_old(fd, metadata);
	size_t i;

	if (r < 0)
		return r;
	for (i = 0; i < metadata->n; i++) {
		item = &metadata->items[i];
		strcpy(name + PREFIX_BYTES, item->key);
		if (fsetxattr(fd, name, item->value, strlen(item->value), 0) < 0)
			return -errno;
	}
	return 0;
}

/* Returns one attribute's value as text in the arena; NULL if it is gone or not UTF-8. */
static char *read_value(const char *path, const char *name, size_t max_bytes, struct arena *arena)
{
	char small[SMALL_BYTES], *value = small, *text = NULL;
	ssize_t n = getxattr(path, name, small, sizeof(small));

	if (n < 0 && errno == ERANGE) {
		value = mem_alloc(XATTR_SIZE_MAX);
		n = getxattr(path, name, value, XATTR_SIZE_MAX);
	}
	/* NUL is valid UTF-8, but it would end the message's string. */
	if (n >= 0 && (size_t)n <= max_bytes && utf8_valid(value, (size_t)n) &&
	    !memchr(value, '\0', (size_t)n))
		text = arena_strndup(arena, value, (size_t)n);
	if (value != small)
		free(value);
	return text;
}

/* Picks the metadata out of a list of attribute names, each ended by a NUL. */
static void read_items(const char *path, const char *names, size_t n, struct arena *arena,
		       struct fs_metadata *ret)
{
	size_t room = FS_METADATA_MAX_BYTES, count = 0, length;
	const char *p, *end = names + n;
	char *value;

	for (p = names; p < end; p += strlen(p) + 1)
		count += strncmp(p, FS_METADATA_PREFIX, PREFIX_BYTES) == 0;
	if (!count)
		return;
	ret->items = arena_alloc(arena, count * sizeof(*ret->items));
	for (p = names; p < end; p += length + 1) {
		length = strlen(p);
		if (strncmp(p, FS_METADATA_PREFIX, PREFIX_BYTES) != 0 || !utf8_valid(p, length))
			continue;
		value = length > room ? NULL : read_value(path, p, room - length, arena);
		if (!value)
			continue;
		room -= length + strlen(value);
		ret->items[ret->n++] =
			(struct fs_metadata_item){arena_strdup(arena, p + PREFIX_BYTES), value};
	}
	qsort(ret->items, ret->n, sizeof(*ret->items), item_order);
}

void fs_metadata_read(const char *path, struct arena *arena, struct fs_metadata *ret)
{
	char small[SMALL_BYTES], *names = small;
	ssize_t n = listxattr(path, small, sizeof(small));

	ret->n = 0;
	ret->items = NULL;
	if (n < 0 && errno == ERANGE) {
		names = mem_alloc(XATTR_LIST_MAX);
		n = listxattr(path, names, XATTR_LIST_MAX);
	}
	if (n > 0)
		read_items(path, names, (size_t)n, arena, ret);
	if (names != small)
		free(names);
}
