#include "rpc/file_warm.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/work.h"

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

/* mincore is asked about so much at a time, that its answer fits the stack. */
#define MINCORE_BYTES (1024 * 1024)

/* The scratch memory that a worker reads to. */
#define SCRATCH_BYTES (64 * 1024)

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
 * cachestat is the quicker. But of a file of overlayfs it sees none of the pages, which are those
 * of the file below; so its no is no answer.
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

struct file_warm {
	struct work work;
	int fd; /* a duplicate */
	off_t offset;
	size_t bytes;
	void (*done)(void *arg); /* NULL: forgotten */
	void *arg;
};

/*
 * Reads the range, and has the kernel begin with what follows it: the disk is busy while the loop
 * sends.
 */
static void warm_run(struct work *work)
{
	struct file_warm *w = container_of(work, struct file_warm, work);
	char *scratch = mem_alloc(SCRATCH_BYTES);
	size_t left = w->bytes;
	off_t at = w->offset;
	ssize_t n;

	readahead(w->fd, w->offset, w->bytes);
	while (left) {
		n = pread(w->fd, scratch, left < SCRATCH_BYTES ? left : SCRATCH_BYTES, at);
		if (n <= 0)
			break;
		at += n;
		left -= (size_t)n;
	}
	free(scratch);
	readahead(w->fd, at, w->bytes);
	/* It may be the last descriptor of a file without a name: then this frees the file. */
	fd_close(&w->fd);
}

static void warm_done(struct work *work)
{
	struct file_warm *w = container_of(work, struct file_warm, work);

	if (w->done)
		w->done(w->arg);
	free(w);
}

struct file_warm *file_warm_start(struct workers *workers, int fd, off_t offset, size_t n,
				  void (*done)(void *arg), void *arg)
{
	struct file_warm *w = mem_zalloc(sizeof(*w));

	w->work.run = warm_run;
	w->work.done = warm_done;
	w->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	w->offset = offset;
	w->bytes = n;
	w->done = done;
	w->arg = arg;
	work_submit(workers, &w->work);
	return w;
}

void file_warm_forget(struct file_warm *w)
{
	if (w)
		w->done = NULL;
}
