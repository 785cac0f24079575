/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file's content replaced in one step: a reader sees the old or the new, never half of either.
 */
#ifndef ENVD_REPLACE_FILE_H
#define ENVD_REPLACE_FILE_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Writes a temporary file beside `path`, with its mode and owner (or `mode` where it does not
 * exist yet), and renames it. Where the path is a mount point of its own (a container's
 * /etc/hosts) renaming is refused by the kernel, and the file is written in place. A symbolic link
 * is followed. 0 or -errno; after a failure the old content is there. Blocks: for workers.
 */
int replace_file(const char *path, const void *data, size_t n, mode_t mode);

#endif
