/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The EntryInfo of an event, as an attachment of watch/engine/event.h. It waits in protobuf's
 * binary format: one small block of memory, because many events may wait for their readers.
 */
#ifndef WATCH_ENTRY_H
#define WATCH_ENTRY_H

#include "base/arena.h"
#include "fs/entry.h"
#include "watch/engine/event.h"

/* The state for reading entries. Each source has one, which the source's owner uses. */
struct watch_entry_reader {
	struct fs_owners owners;
	struct arena scratch;
};

void watch_entry_reader_init(struct watch_entry_reader *reader, struct user_db *users);
void watch_entry_reader_clear(struct watch_entry_reader *reader);

/* Clears the cached names of owners, which may have changed. */
void watch_entry_reader_renew(struct watch_entry_reader *reader);

/*
 * Reads the entry at an absolute path. Returns an owned attachment, or NULL if the entry can't be
 * read. Call it on a worker. This is a watch_read_entry_fn (watch/engine/source.h); `reader` is a
 * struct watch_entry_reader.
 */
struct watch_attachment *watch_entry_read(void *reader, const char *path);

/*
 * watch_entry_pack makes an owned attachment of a message. watch_entry_unpack returns the message,
 * in the arena; NULL if it can't be decoded. Its path is empty, because each watcher has its own
 * path to the entry.
 */
struct watch_attachment *watch_entry_pack(const Filesystem__EntryInfo *info);
Filesystem__EntryInfo *watch_entry_unpack(const struct watch_attachment *attachment,
					  struct arena *arena);

#endif
