/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends a directory as a tar archive, made in pieces. Names are in byte order; links, devices and
 * FIFOs keep their type. Sockets, and the kernel's own file systems (/proc …) below the directory,
 * are left out. If a file shrinks before it is read to its end, the archive is aborted.
 */
#ifndef FS_HTTP_TAR_SOURCE_H
#define FS_HTTP_TAR_SOURCE_H

#include <stdbool.h>

struct context;
struct stream;

/*
 * Begins to send the directory `fd`, and takes ownership of fd. The caller has sent the response's
 * head without a length. `gzip`: compresses the archive.
 */
void fs_tar_source_start(struct stream *s, struct context *context, int fd, bool gzip);

#endif
