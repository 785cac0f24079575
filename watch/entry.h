/*
 * EntryInfo inside an event: one block of memory, as events may wait for their reader in great
 * numbers.
 */
#ifndef WATCH_ENTRY_H
#define WATCH_ENTRY_H

#include <stddef.h>

#include "base/arena.h"
#include "fs/entry.h"

struct watch_entry {
	size_t bytes;		    /* of the block */
	Filesystem__EntryInfo info; /* its path is empty: each watcher calls it by its own */
	Google__Protobuf__Timestamp modified_time;
};

/*
 * Reads the entry at an absolute path; NULL where it can't be read (any more). Returned owned
 * (free). On a worker; `scratch` is cleared.
 */
struct watch_entry *watch_entry_read(const char *path, struct fs_owners *owners,
				     struct arena *scratch);

#endif
