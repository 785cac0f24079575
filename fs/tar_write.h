/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the headers of a tar archive: ustar, preceded by a pax header if a value does not fit into
 * the ustar fields. No I/O.
 */
#ifndef FS_TAR_WRITE_H
#define FS_TAR_WRITE_H

#include "fs/tar.h"

struct evbuffer;

/*
 * Adds the header of an entry; the caller adds the contents and the padding. Names that are not
 * UTF-8 are written unchanged.
 */
void tar_write_header(const struct tar_entry *entry, struct evbuffer *out);

/* Adds the padding that fills up the last block of a file of `size` bytes. */
void tar_write_padding(uint64_t size, struct evbuffer *out);

/* Adds the end of the archive. */
void tar_write_end(struct evbuffer *out);

#endif
