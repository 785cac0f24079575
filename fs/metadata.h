/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata of files: a client sends keys and values in X-Metadata-* header fields, and the file
 * keeps them in extended attributes user.e2b.* (docs/compatibility/http.md, `POST /files`).
 */
#ifndef FS_METADATA_H
#define FS_METADATA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"

struct http_head;

/* An attribute's name, including the prefix, has at most 255 bytes (XATTR_NAME_MAX). */
#define FS_METADATA_KEY_MAX_BYTES 246

/* The limit for keys, with their prefix, and values together: about one block of ext4. */
#define FS_METADATA_TOTAL_MAX_BYTES 4096

struct fs_metadata {
	size_t n;
	struct fs_metadata_item {
		const char *key; /* lower case, without the prefix */
		const char *value;
	} * items; /* sorted by key */
};

/*
 * Reads the metadata from a request's head. If a key occurs twice, the first value is used. Copies
 * the strings to the arena. Returns -1 with a 400 error if a key or a value is not allowed.
 */
int fs_metadata_parse(const struct http_head *head, struct arena *arena, struct fs_metadata *ret,
		      struct error *err);

/*
 * Replaces the file's metadata. 0 or -errno; -ENOTSUP if the file system has no user attributes.
 * `is_new`: the file was just created, so there is no old metadata to remove.
 */
int fs_metadata_write(int fd, const struct fs_metadata *metadata, bool is_new);

/* Reads the metadata of the file at a path into the arena; leaves out items that can't be read. */
void fs_metadata_read(const char *path, struct arena *arena, struct fs_metadata *ret);

#endif
