/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EntryInfo: what the host is told of a file, a directory or a link (docs/compatibility/files.md).
 *
 * Everything here touches paths of the guest's, so it runs on a worker.
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
 * The metadata of one entry, keys and values together: a file system without a limit of its own
 * (btrfs, xfs, tmpfs) would hold more than an answer should. What is beyond is left out.
 */
#define FS_METADATA_MAX_BYTES (256u * 1024)

/* The extended attributes that are metadata: "user.e2b.<key>". */
#define FS_METADATA_PREFIX "user.e2b."

/* "Dugtrwxrwxrwx" is the longest permission text. */
#define FS_PERMISSIONS_BYTES 16

/* Names of owners, kept while many entries are read. All zero but for `users` is ready for use. */
#define FS_OWNERS_KEPT 8
struct fs_owners {
	struct user_db *users; /* borrowed; NULL: numbers */
	struct arena arena;
	struct fs_owner {
		unsigned id;
		const char *name; /* NULL: the slot is free */
	} user[FS_OWNERS_KEPT], group[FS_OWNERS_KEPT];
};

void fs_owners_init(struct fs_owners *owners, struct user_db *users);
void fs_owners_clear(struct fs_owners *owners);

/* A name for a user or group number: from the files, else the number itself. */
const char *fs_owner_name(struct fs_owners *owners, bool group, unsigned id, struct arena *arena);

/* An entry and what its message points to. Not to be copied: it points into itself. */
struct fs_entry {
	Filesystem__EntryInfo info;
	Google__Protobuf__Timestamp modified_time;
	char permissions[FS_PERMISSIONS_BYTES];
	struct stat stat; /* of the entry itself, not followed */
};

/*
 * Reads the entry `name` of the directory `dirfd`, or by `name` alone where that is AT_FDCWD; a
 * link is not followed, unless a slash follows its name. `path` is the absolute path by which links
 * are found, and metadata too where there is a `dirfd`; `shown_path` is the one that the entry gets
 * (NULL: `path`), and its last element the entry's name. Borrows `shown_path`; everything else goes
 * into the arena, but the names of owners, which last as long as `owners`. 0 or -errno.
 */
int fs_entry_read_at(int dirfd, const char *name, const char *path, const char *shown_path,
		     struct fs_owners *owners, struct arena *arena, struct fs_entry *ret);

/*
 * An entry that can't be read, by its name and its type in the directory (DT_DIR, readdir(3)): all
 * else is unknown. Borrows `path`.
 */
void fs_entry_unknown(const char *path, unsigned char type, struct arena *arena,
		      struct fs_entry *ret);

/* The same for a path, in the words clients know: ERROR_NOT_FOUND or ERROR_INTERNAL. */
int fs_entry_read(const char *path, struct fs_owners *owners, struct arena *arena,
		  struct fs_entry *ret, struct error *err);

/* The text of Go's FileMode, as existing clients parse it: "drwxr-xr-x", "Lrwxrwxrwx". */
void fs_permissions_text(mode_t mode, char text[FS_PERMISSIONS_BYTES]);

/*
 * An old client fails on fields that it does not know (docs/compatibility/rpc.md, "Old clients").
 * It is known by its User-Agent. Its entries are reduced to name, type and path, and a header of
 * the answer says so.
 */
#define FS_LEGACY_USER_AGENT "connect-python"
#define FS_LEGACY_HEADER     "X-E2B-Legacy-SDK"

void fs_entry_make_legacy(Filesystem__EntryInfo *info);

#endif
