/* SPDX-License-Identifier: Apache-2.0 */
/* Replaces the content of a file in one step: a reader sees either the old or the new content. */
#ifndef ENVD_REPLACE_FILE_H
#define ENVD_REPLACE_FILE_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Writes a temporary file in the directory of `path` with the mode and owner of the existing file
 * (or `mode` if there is none), and renames it to `path`. Follows a symbolic link. 0 or -errno.
 * Blocks: call it on a worker.
 *
 * If the file can't be replaced, because it is a mount point (the /etc/hosts of a container) or its
 * directory is not writable, it is overwritten in place. Only then a reader may see a mix of old
 * and new content, and a failed write leaves such a mix.
 */
int replace_file(const char *path, const void *data, size_t n, mode_t mode);

#endif
