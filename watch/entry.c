/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/entry.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct watch_entry {
	struct watch_attachment attachment;
	Filesystem__EntryInfo info;
	Google__Protobuf__Timestamp modified_time;
};

/* The free rest of an entry's block of memory. */
struct space {
	char *free;
};

static char *put_string(struct space *space, const char *s)
{
	size_t n = strlen(s) + 1;
	char *copy = space->free;

	memcpy(copy, s, n);
	space->free += n;
	return copy;
}

static size_t entry_bytes(const Filesystem__EntryInfo *info)
{
	size_t bytes = sizeof(struct watch_entry), i;

	bytes += strlen(info->name) + 1 + strlen(info->permissions) + 1;
	bytes += strlen(info->owner) + 1 + strlen(info->group) + 1;
	if (info->opt_symlink_target_case)
		bytes += strlen(info->symlink_target) + 1;
	for (i = 0; i < info->n_metadata; i++)
		bytes += sizeof(*info->metadata) + sizeof(**info->metadata) +
			 strlen(info->metadata[i]->key) + 1 + strlen(info->metadata[i]->value) + 1;
	return bytes;
}

/*
 * Copies the metadata. The pointers and messages of the map come first in the block, for alignment.
 */
static void put_metadata(struct space *space, Filesystem__EntryInfo *info)
{
	Filesystem__EntryInfo__MetadataEntry **from = info->metadata, **to, *entries;
	size_t i, n = info->n_metadata;

	if (!n)
		return;
	to = (Filesystem__EntryInfo__MetadataEntry **)(void *)space->free;
	entries = (Filesystem__EntryInfo__MetadataEntry *)(void *)(to + n);
	space->free = (char *)(entries + n);
	for (i = 0; i < n; i++) {
		entries[i] = *from[i];
		entries[i].key = put_string(space, from[i]->key);
		entries[i].value = put_string(space, from[i]->value);
		to[i] = &entries[i];
	}
	info->metadata = to;
}

static void entry_free(struct watch_attachment *attachment)
{
	free(attachment);
}

static struct watch_entry *entry_pack(const Filesystem__EntryInfo *info)
{
	size_t bytes = entry_bytes(info);
	struct watch_entry *entry = mem_alloc(bytes);
	struct space space = {(char *)(entry + 1)};

	entry->attachment = (struct watch_attachment){bytes, entry_free};
	entry->info = *info;
	put_metadata(&space, &entry->info);
	if (info->modified_time) {
		entry->modified_time = *info->modified_time;
		entry->info.modified_time = &entry->modified_time;
	}
	entry->info.path = "";
	entry->info.name = put_string(&space, info->name);
	entry->info.permissions = put_string(&space, info->permissions);
	entry->info.owner = put_string(&space, info->owner);
	entry->info.group = put_string(&space, info->group);
	if (info->opt_symlink_target_case)
		entry->info.symlink_target = put_string(&space, info->symlink_target);
	return entry;
}

void watch_entry_reader_init(struct watch_entry_reader *reader, struct user_db *users)
{
	memset(reader, 0, sizeof(*reader));
	fs_owners_init(&reader->owners, users);
}

void watch_entry_reader_clear(struct watch_entry_reader *reader)
{
	fs_owners_clear(&reader->owners);
	arena_clear(&reader->scratch);
}

void watch_entry_reader_renew(struct watch_entry_reader *reader)
{
	fs_owners_clear(&reader->owners);
}

struct watch_attachment *watch_entry_read(void *reader, const char *path)
{
	struct watch_entry_reader *r = reader;
	struct watch_entry *entry = NULL;
	struct fs_entry read;

	if (fs_entry_read_at(AT_FDCWD, path, path, NULL, &r->owners, &r->scratch, &read) == 0)
		entry = entry_pack(&read.info);
	arena_clear(&r->scratch);
	return entry ? &entry->attachment : NULL;
}

const Filesystem__EntryInfo *watch_entry_info(const struct watch_attachment *entry)
{
	return &((const struct watch_entry *)entry)->info;
}

struct watch_attachment *watch_entry_copy(const Filesystem__EntryInfo *info)
{
	return &entry_pack(info)->attachment;
}
