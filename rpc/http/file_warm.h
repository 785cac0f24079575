/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether parts of a file are in memory: so that the loop sends only what it does not have to wait
 * for.
 */
#ifndef RPC_HTTP_FILE_WARM_H
#define RPC_HTTP_FILE_WARM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Whether all pages of the range are in the page cache, by cachestat(2), which Linux has since 6.5,
 * and mincore(2). False where nobody can tell, and behind the file's end. Does not block.
 */
bool file_is_warm(int fd, off_t offset, size_t n);

#endif
