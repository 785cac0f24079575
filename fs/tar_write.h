/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The headers of a tar archive: ustar, with a pax header before it where ustar does not do. Pure.
 */
#ifndef FS_TAR_WRITE_H
#define FS_TAR_WRITE_H

#include "fs/tar.h"

struct evbuffer;

/*
 * Adds the header of an entry, whose contents and padding the caller adds. Names that are not
 * UTF-8 stand as they are.
 */
void tar_write_header(const struct tar_entry *entry, struct evbuffer *out);

/* Adds what fills the last block of a file of this size. */
void tar_write_padding(uint64_t size, struct evbuffer *out);

/* Adds the end of the archive. */
void tar_write_end(struct evbuffer *out);

#endif
