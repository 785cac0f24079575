#include "rpc/http/file_send.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/sendfile.h>

#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/work.h"

/* A worker sends for so long, then others have their turn. */
#define SLICE_MS 50

/* Between two looks at the clock. */
#define PIECE_BYTES (4u * 1024 * 1024)

struct file_send {
	struct work work;
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

/* Sends once, or waits for the client. False where that is all. */
static bool send_piece(struct file_send *f)
{
	struct pollfd pollfd = {.fd = f->sock, .events = POLLOUT};
	size_t piece = f->left < PIECE_BYTES ? (size_t)f->left : PIECE_BYTES;
	ssize_t n = sendfile(f->sock, f->fd, &f->offset, piece);

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

struct file_send *file_send_start(struct workers *workers, int sock, int fd, off_t offset,
				  uint64_t length, int wait_ms,
				  void (*done)(void *arg, uint64_t sent, enum file_send_end end),
				  void *arg)
{
	FD_AUTO int own_sock = fcntl(sock, F_DUPFD_CLOEXEC, 3);
	FD_AUTO int own_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	struct file_send *f;

	if (own_sock < 0 || own_fd < 0)
		return NULL;
	f = mem_zalloc(sizeof(*f));
	f->work.run = send_run;
	f->work.done = send_done;
	f->sock = fd_take(&own_sock);
	f->fd = fd_take(&own_fd);
	f->offset = offset;
	f->left = length;
	f->wait_ms = wait_ms;
	f->done = done;
	f->arg = arg;
	work_submit(workers, &f->work);
	return f;
}

void file_send_forget(struct file_send *f)
{
	if (f)
		atomic_store_explicit(&f->forgotten, true, memory_order_relaxed);
}
