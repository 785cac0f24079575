/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/http/file_warm.h"

#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* include/uapi/linux/mman.h of Linux 6.5; the number is the same on all architectures. */
#ifndef __NR_cachestat
#define __NR_cachestat 451
#endif

struct cachestat_range_v1 {
	uint64_t offset;
	uint64_t bytes;
};

struct cachestat_v1 {
	uint64_t cached, dirty, writeback, evicted, recently_evicted; /* pages */
};

/* The range of one mincore(2), whose result then fits on the stack. */
#define MINCORE_BYTES (1024 * 1024)

/* At most MINCORE_BYTES. */
static bool mincore_piece(int fd, off_t offset, size_t n, size_t page)
{
	unsigned char pages[MINCORE_BYTES / 4096 + 1];
	size_t skip = (size_t)offset % page, count = (skip + n + page - 1) / page, i;
	void *map = mmap(NULL, skip + n, PROT_READ, MAP_SHARED, fd, offset - (off_t)skip);
	bool warm;

	if (map == MAP_FAILED)
		return false;
	warm = mincore(map, skip + n, pages) == 0;
	for (i = 0; warm && i < count; i++)
		warm = pages[i] & 1;
	munmap(map, skip + n);
	return warm;
}

static bool mincore_says_warm(int fd, off_t offset, size_t n, size_t page)
{
	size_t piece;

	for (; n; offset += (off_t)piece, n -= piece) {
		piece = n < MINCORE_BYTES ? n : MINCORE_BYTES;
		if (!mincore_piece(fd, offset, piece, page))
			return false;
	}
	return true;
}

/*
 * cachestat(2) is faster. But for a file on overlayfs it sees no pages, because they belong to the
 * file below. Therefore mincore(2) checks a negative result.
 */
bool file_is_warm(int fd, off_t offset, size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct cachestat_range_v1 range = {(uint64_t)offset, n};
	size_t first = (size_t)offset / page, last = ((size_t)offset + n - 1) / page;
	struct cachestat_v1 stat;

	if (n == 0)
		return true;
	if (syscall(__NR_cachestat, fd, &range, &stat, 0) == 0 && stat.cached >= last - first + 1)
		return true;
	return mincore_says_warm(fd, offset, n, page);
}
