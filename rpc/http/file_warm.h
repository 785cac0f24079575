/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells whether a part of a file is in memory, so that the loop can send it without waiting for a
 * disk.
 */
#ifndef RPC_HTTP_FILE_WARM_H
#define RPC_HTTP_FILE_WARM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Returns true if all pages of the range are in the page cache, by cachestat(2) (since Linux 6.5)
 * and mincore(2). Returns false if this is unknown, and after the file's end. Does not block.
 */
bool file_is_warm(int fd, off_t offset, size_t n);

#endif
