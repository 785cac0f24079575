/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/http/file_send.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/work.h"

/* The maximum time that a worker sends before other work gets its turn. */
#define SLICE_MS 50

/* The maximum number of bytes between two checks of the clock. */
#define PIECE_BYTES (4u * 1024 * 1024)

/* The size of a read from a file that sendfile(2) does not support. */
#define COPY_BYTES (64u * 1024)

/* The delay before another try if the process has no free descriptors. */
#define SHORTAGE_MS 100

struct file_send {
	struct work work;
	struct workers *workers;
	struct timer retry; /* pending: there was no descriptor for a duplicate */
	int borrowed_sock;
	int borrowed_fd;
	int sock; /* duplicates: the connection may be closed meanwhile */
	int fd;
	off_t offset;
	uint64_t left;
	uint64_t sent;
	int wait_ms;
	enum file_send_end end;
	atomic_bool forgotten;
	void (*done)(void *arg, uint64_t sent, enum file_send_end end);
	void *arg;
};

/*
 * As sendfile(2), for files on file systems without splice support (hugetlbfs, some kernel file
 * systems and some of FUSE), for which sendfile(2) fails with EINVAL.
 */
static ssize_t copy_piece(struct file_send *f)
{
	size_t piece = f->left < COPY_BYTES ? (size_t)f->left : COPY_BYTES;
	char *buffer = mem_alloc(piece);
	ssize_t n = pread(f->fd, buffer, piece, f->offset);

	if (n > 0)
		n = send(f->sock, buffer, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		f->offset += n;
	free(buffer);
	return n;
}

/* Sends once, or waits for the client. Returns false at the end. */
static bool send_piece(struct file_send *f)
{
	struct pollfd pollfd = {.fd = f->sock, .events = POLLOUT};
	size_t piece = f->left < PIECE_BYTES ? (size_t)f->left : PIECE_BYTES;
	ssize_t n = sendfile(f->sock, f->fd, &f->offset, piece);

	if (n < 0 && errno == EINVAL)
		n = copy_piece(f);
	if (n > 0) {
		f->left -= (uint64_t)n;
		f->sent += (uint64_t)n;
		return f->left > 0;
	}
	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno == EAGAIN) {
		if (poll(&pollfd, 1, f->wait_ms) != 0)
			return true;
		f->end = FILE_SEND_FULL;
	} else {
		f->end = FILE_SEND_FAILED;
	}
	return false;
}

static void send_run(struct work *work)
{
	struct file_send *f = container_of(work, struct file_send, work);
	uint64_t until_ms = clock_monotonic_ms() + SLICE_MS;

	while (!atomic_load_explicit(&f->forgotten, memory_order_relaxed) && send_piece(f) &&
	       clock_monotonic_ms() < until_ms)
		;
	fd_close(&f->sock);
	/* It may be the last descriptor of a file without a name: then this frees the file. */
	fd_close(&f->fd);
}

static void send_done(struct work *work)
{
	struct file_send *f = container_of(work, struct file_send, work);

	if (!atomic_load_explicit(&f->forgotten, memory_order_relaxed))
		f->done(f->arg, f->sent, f->end);
	free(f);
}

/* Duplicates the descriptors and queues the work; false if there is no descriptor left. */
static bool begin(struct file_send *f)
{
	f->sock = fcntl(f->borrowed_sock, F_DUPFD_CLOEXEC, 3);
	f->fd = fcntl(f->borrowed_fd, F_DUPFD_CLOEXEC, 3);
	if (f->sock >= 0 && f->fd >= 0) {
		work_submit(f->workers, &f->work);
		return true;
	}
	fd_close(&f->sock);
	fd_close(&f->fd);
	return false;
}

static void on_retry(void *arg)
{
	struct file_send *f = arg;

	if (!begin(f))
		timer_set_ms(&f->retry, SHORTAGE_MS);
}

struct file_send *file_send_start(struct loop *loop, struct workers *workers, int sock, int fd,
				  off_t offset, uint64_t length, int wait_ms,
				  void (*done)(void *arg, uint64_t sent, enum file_send_end end),
				  void *arg)
{
	struct file_send *f = mem_zalloc(sizeof(*f));

	f->work.run = send_run;
	f->work.done = send_done;
	f->workers = workers;
	f->borrowed_sock = sock;
	f->borrowed_fd = fd;
	f->offset = offset;
	f->left = length;
	f->wait_ms = wait_ms;
	f->done = done;
	f->arg = arg;
	timer_init(&f->retry, loop, on_retry, f);
	on_retry(f);
	return f;
}

void file_send_forget(struct file_send *f)
{
	if (!f)
		return;
	if (timer_pending(&f->retry)) {
		timer_cancel(&f->retry);
		free(f);
	} else {
		atomic_store_explicit(&f->forgotten, true, memory_order_relaxed);
	}
}
