/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the EntryInfo of a file, a directory or a link: the description that clients receive
 * (docs/compatibility/files.md).
 *
 * The functions that read entries access the guest's file systems, which may block: they run on a
 * worker.
 */
#ifndef FS_ENTRY_H
#define FS_ENTRY_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/error.h"
#include "filesystem.pb-c.h"
#include "fs/text.h"

struct user_db;

/*
 * The limit for the metadata of one entry, keys and values together. Items beyond the limit are
 * left out: some file systems (btrfs, xfs, tmpfs) can hold more than an answer should contain.
 */
#define FS_METADATA_MAX_BYTES (256u * 1024)

/* The extended attributes that are metadata: "user.e2b.<key>". */
#define FS_METADATA_PREFIX "user.e2b."

/* "Dugtrwxrwxrwx" is the longest permission text. */
#define FS_PERMISSIONS_BYTES 16

/* A cache of owners' names, for a caller that reads many entries. */
#define FS_OWNERS_KEPT 8
struct fs_owners {
	struct user_db *users; /* borrowed; NULL: owners are shown as numbers */
	struct arena arena;
	struct fs_owner {
		unsigned id;
		const char *name; /* NULL: the slot is free */
	} user[FS_OWNERS_KEPT], group[FS_OWNERS_KEPT];
};

void fs_owners_init(struct fs_owners *owners, struct user_db *users);
void fs_owners_clear(struct fs_owners *owners);

/* Returns the name of a user or group from the user database; the number as text if it has none. */
const char *fs_owner_name(struct fs_owners *owners, bool group, unsigned id, struct arena *arena);

/* An entry's message and the data that the message points to. Must not be copied or moved. */
struct fs_entry {
	Filesystem__EntryInfo info;
	Google__Protobuf__Timestamp modified_time;
	char permissions[FS_PERMISSIONS_BYTES];
	struct stat stat; /* of the entry itself: a link is not followed */
};

/*
 * Reads the entry `name` of the directory `dirfd`, or the file at the path `name` if `dirfd` is
 * AT_FDCWD. A link is not followed, unless its name ends in a slash. `path` is the entry's absolute
 * path: it serves to resolve links, and also to read metadata unless `dirfd` is AT_FDCWD.
 * `shown_path` (NULL: `path`) becomes the message's path, and its last element the message's name.
 * 0 or -errno.
 *
 * The entry is valid while `shown_path`, `owners` and the arena are: its strings are in them.
 */
int fs_entry_read_at(int dirfd, const char *name, const char *path, const char *shown_path,
		     struct fs_owners *owners, struct arena *arena, struct fs_entry *ret);

/*
 * Fills *ret for an entry that can't be read: with its path, its name and its type in the directory
 * (DT_DIR …, readdir(3)). Borrows `path`.
 */
void fs_entry_unknown(const char *path, unsigned char type, struct arena *arena,
		      struct fs_entry *ret);

/*
 * Reads the entry at an absolute path. 0, or -1 with the error that clients expect: ERROR_NOT_FOUND
 * or ERROR_INTERNAL.
 */
int fs_entry_read(const char *path, struct fs_owners *owners, struct arena *arena,
		  struct fs_entry *ret, struct error *err);

/* Writes a mode in the format of Go's FileMode, which clients parse: "drwxr-xr-x", "Lrwxrwxrwx". */
void fs_permissions_text(mode_t mode, char text[FS_PERMISSIONS_BYTES]);

/*
 * Old clients fail on fields that they do not know (docs/compatibility/rpc.md, "Old clients"). The
 * daemon recognises an old client by its User-Agent, reduces entries to name, type and path, and
 * adds FS_LEGACY_HEADER to the answer.
 */
#define FS_LEGACY_USER_AGENT "connect-python"
#define FS_LEGACY_HEADER     "X-E2B-Legacy-SDK"

void fs_entry_make_legacy(Filesystem__EntryInfo *info);

#endif
