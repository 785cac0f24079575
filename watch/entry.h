/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The EntryInfo of an event, as an attachment of watch/engine/event.h. It is one block of memory,
 * as many events may wait for their readers.
 */
#ifndef WATCH_ENTRY_H
#define WATCH_ENTRY_H

#include "base/arena.h"
#include "fs/entry.h"
#include "watch/engine/event.h"

/* What reading entries needs: one for each source, used by the source's owner. */
struct watch_entry_reader {
	struct fs_owners owners;
	struct arena scratch;
};

void watch_entry_reader_init(struct watch_entry_reader *reader, struct user_db *users);
void watch_entry_reader_clear(struct watch_entry_reader *reader);

/* Forgets the names of owners, which may have changed. */
void watch_entry_reader_renew(struct watch_entry_reader *reader);

/*
 * Reads the entry at an absolute path; NULL if it can't be read (any more). Returned owned. On a
 * worker. `reader` is a struct watch_entry_reader: watch_read_entry_fn of watch/engine/source.h.
 */
struct watch_attachment *watch_entry_read(void *reader, const char *path);

/* Copies an entry that another daemon has read. Returned owned. */
struct watch_attachment *watch_entry_copy(const Filesystem__EntryInfo *info);

/* The message in the attachment. Its path is empty: each watcher has its own path to the entry. */
const Filesystem__EntryInfo *watch_entry_info(const struct watch_attachment *entry);

#endif
