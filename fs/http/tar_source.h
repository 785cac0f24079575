/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory as a tar archive, made piece by piece: names in lexical order, links as links,
 * devices and FIFOs as what they are; sockets, and what lies on the kernel's own file systems below
 * the directory, are left out. A file that is shorter by the time it is read ends the archive
 * early.
 */
#ifndef FS_HTTP_TAR_SOURCE_H
#define FS_HTTP_TAR_SOURCE_H

#include <stdbool.h>

struct context;
struct stream;

/*
 * Sends the directory, once the response's head was sent, without a length; `gzip`: compressed.
 * Takes fd.
 */
void fs_tar_source_start(struct stream *s, struct context *context, int fd, bool gzip);

#endif
