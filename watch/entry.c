/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/entry.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "rpc/codec/codec.h"

struct watch_entry {
	struct watch_attachment attachment;
	size_t n;
	uint8_t packed[]; /* the message in protobuf's binary format */
};

static void entry_free(struct watch_attachment *attachment)
{
	free(attachment);
}

struct watch_attachment *watch_entry_pack(const Filesystem__EntryInfo *info)
{
	Filesystem__EntryInfo shared = *info;
	struct watch_entry *entry;
	size_t n;

	shared.path = NULL;
	n = protobuf_c_message_get_packed_size(&shared.base);
	entry = mem_alloc(sizeof(*entry) + n);
	entry->attachment = (struct watch_attachment){sizeof(*entry) + n, entry_free};
	entry->n = protobuf_c_message_pack(&shared.base, entry->packed);
	return &entry->attachment;
}

Filesystem__EntryInfo *watch_entry_unpack(const struct watch_attachment *attachment,
					  struct arena *arena)
{
	const struct watch_entry *entry = (const struct watch_entry *)attachment;
	ProtobufCMessage *info;
	struct error err;

	if (codec_decode(RPC_CODEC_PROTO, &filesystem__entry_info__descriptor, entry->packed,
			 entry->n, ERROR_INTERNAL, arena, &info, &err) < 0) {
		log_error("watches: the entry of an event cannot be decoded: %s", err.message);
		return NULL;
	}
	return (Filesystem__EntryInfo *)info;
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
	struct watch_attachment *entry = NULL;
	struct fs_entry read;

	if (fs_entry_read_at(AT_FDCWD, path, path, NULL, &r->owners, &r->scratch, &read) == 0)
		entry = watch_entry_pack(&read.info);
	arena_clear(&r->scratch);
	return entry;
}
