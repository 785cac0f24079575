/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata of files: what a client gives in X-Metadata-* fields, kept in extended attributes
 * user.e2b.* (docs/compatibility/http.md, `POST /files`).
 */
#ifndef FS_METADATA_H
#define FS_METADATA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"

struct http_head;

/* The name of an attribute, with its prefix, may have 255 bytes (XATTR_NAME_MAX). */
#define FS_METADATA_KEY_MAX_BYTES 246

/* Keys with their prefix, and values: about what an inode of ext4 can hold. */
#define FS_METADATA_TOTAL_MAX_BYTES 4096

struct fs_metadata {
	size_t n;
	struct fs_metadata_item {
		const char *key; /* lower case, without the prefix */
		const char *value;
	} * items; /* sorted by key */
};

/*
 * Takes the metadata out of a request's head; a key that comes twice counts once, the first time.
 * Strings are copied to the arena. -1: not what it may be, 400.
 */
int fs_metadata_parse(const struct http_head *head, struct arena *arena, struct fs_metadata *ret,
		      struct error *err);

/*
 * Makes the file's metadata just this: others go. 0 or -errno, -ENOTSUP where the file system has
 * no such attributes. `is_new`: the file has none yet.
 */
int fs_metadata_write(int fd, const struct fs_metadata *metadata, bool is_new);

/* Reads the metadata of the file at a path; what can't be read is left out. In the arena. */
void fs_metadata_read(const char *path, struct arena *arena, struct fs_metadata *ret);

#endif
