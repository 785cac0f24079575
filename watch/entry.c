#include "watch/entry.h"

#include <fcntl.h>
#include <string.h>

#include "base/mem.h"

/* What is still free of a block that was measured before. */
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

/* The pointers and the messages of the map come first, for their alignment. */
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

static struct watch_entry *entry_pack(const Filesystem__EntryInfo *info)
{
	size_t bytes = entry_bytes(info);
	struct watch_entry *entry = mem_alloc(bytes);
	struct space space = {(char *)(entry + 1)};

	entry->bytes = bytes;
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

struct watch_entry *watch_entry_read(const char *path, struct fs_owners *owners,
				     struct arena *scratch)
{
	struct watch_entry *entry = NULL;
	struct fs_entry read;

	if (fs_entry_read_at(AT_FDCWD, path, path, NULL, owners, scratch, &read) == 0)
		entry = entry_pack(&read.info);
	arena_clear(scratch);
	return entry;
}
