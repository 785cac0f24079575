/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/output.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "pty/message.h"
#include "pty/proc_table.h"
#include "pty/tap.h"
#include "rpc/context.h"

/* One buffer serves all outputs: a chunk is encoded before the next one is read. Loop only. */
static uint8_t chunk[PROC_PIPE_CHUNK_BYTES];

static void output_readable(evutil_socket_t fd, short what, void *arg)
{
	proc_output_readable(arg);
}

void output_init(struct output *o, struct proc *p, enum output_kind kind, int fd)
{
	o->proc = p;
	o->kind = kind;
	o->fd = fd;
	o->ended = fd < 0;
	fd_event_init(&o->event, p->daemon->loop, fd, EV_READ | EV_PERSIST, output_readable, o);
}

void output_update(struct output *o)
{
	struct proc *p = o->proc;
	bool read = !o->ended && p->state != PROC_ENDED && p->full_taps == 0 && !p->table->paused;

	if (read == o->reading)
		return;
	o->reading = read;
	if (read)
		fd_event_add(&o->event);
	else
		fd_event_del(&o->event);
}

/*
 * Handles the end of an output. A pipe is closed. A terminal's master stays open, because closing
 * it would send SIGHUP to a leader that keeps running without its terminal.
 */
static void output_end(struct output *o)
{
	o->ended = true;
	output_update(o);
	if (o->kind != OUTPUT_PTY)
		fd_close(&o->fd);
}

void output_close(struct output *o)
{
	o->ended = true;
	output_update(o);
	fd_close(&o->fd);
}

void output_discard(struct output *o)
{
	o->ended = true;
	output_update(o);
	discards_add(&o->proc->table->discards, fd_take(&o->fd));
}

static size_t chunk_bytes(const struct output *o)
{
	return o->kind == OUTPUT_PTY ? PROC_PTY_CHUNK_BYTES : PROC_PIPE_CHUNK_BYTES;
}

/*
 * Reads at most `room` bytes. A read of a terminal returns at most a few KiB, so several are
 * joined. Returns the bytes; 0 at the end; -EAGAIN if there is nothing to read now.
 */
static ssize_t read_chunk(const struct output *o, uint8_t *data, size_t room)
{
	size_t have = 0;
	ssize_t n;

	do {
		n = read(o->fd, data + have, room - have);
		if (n > 0)
			have += (size_t)n;
	} while ((n > 0 && o->kind == OUTPUT_PTY && have < room) || (n < 0 && errno == EINTR));
	if (have > 0)
		return (ssize_t)have;
	if (n < 0 && errno == EAGAIN)
		return -EAGAIN;
	/* EIO: the last descriptor of the terminal was closed. */
	if (n < 0 && errno != EIO)
		log_event(
			&(struct log_line){.level = LOG_LEVEL_ERROR,
					   .logger = "process",
					   .request = o->proc->request,
					   LOG_FIELDS(LOG_TEXT("error", error_errno_text(errno)))},
			"process %d: its output can't be read", (int)o->proc->pid);
	return 0;
}

/* Enlarges a pipe that is full each time it is read. If the kernel refuses, it keeps its size. */
static void widen_if_busy(struct output *o, size_t n)
{
	if (o->wide || o->kind == OUTPUT_PTY)
		return;
	o->full_chunks = n >= PROC_PIPE_CHUNK_BYTES ? o->full_chunks + 1 : 0;
	if (o->full_chunks < PROC_WIDEN_AFTER_CHUNKS)
		return;
	o->wide = true;
	fcntl(o->fd, F_SETPIPE_SZ, PROC_WIDE_PIPE_BYTES);
}

/* Sends bytes to the taps, in events of at most one chunk. */
static void send_bytes(const struct output *o, const uint8_t *data, size_t n)
{
	struct message message;
	size_t piece;

	for (; n > 0 && o->proc->n_taps > 0; data += piece, n -= piece) {
		piece = n < chunk_bytes(o) ? n : chunk_bytes(o);
		taps_send(o->proc, message_data(&message, o->kind, data, piece));
	}
}

/*
 * Passes one chunk to the taps, or two from a read into the kept output. Returns its size, 0 at the
 * end, or -EAGAIN if there is none.
 */
static ssize_t pass_chunk(struct output *o, bool rest)
{
	struct kept *kept = o->proc->kept;
	size_t room = chunk_bytes(o);
	uint8_t *direct =
		kept && !rest && o->kind != OUTPUT_PTY ? kept_reserve(kept, o->kind, &room) : NULL;
	ssize_t n = read_chunk(o, direct ? direct : chunk, room);

	if (n == 0)
		output_end(o);
	if (n <= 0)
		return n;
	o->total_bytes += (uint64_t)n;
	o->proc->table->output_bytes += (uint64_t)n;
	/*
	 * The last bytes are read although readers have not caught up, and are kept for those
	 * readers.
	 */
	if (direct)
		kept_commit(kept, o->kind, (size_t)n);
	else if (kept)
		kept_add(kept, o->kind, chunk, (size_t)n, rest && o->proc->full_taps > 0);
	send_bytes(o, direct ? direct : chunk, (size_t)n);
	return n;
}

void output_pump(struct output *o)
{
	unsigned reads;
	ssize_t n;

	for (reads = 0; reads < PROC_READS_A_TURN; reads++) {
		if (o->ended || o->proc->full_taps > 0)
			return;
		n = pass_chunk(o, false);
		if (n <= 0)
			return;
		widen_if_busy(o, (size_t)n);
		/* A short chunk means that the pipe is empty. The loop will report EOF. */
		if ((size_t)n < chunk_bytes(o) && !o->proc->exited)
			return;
	}
}

void output_rest(struct output *o)
{
	size_t taken = 0;
	int waiting = 0;
	ssize_t n;

	/* Do not wait for bytes written later, because a background child may write for ever. */
	if (o->ended || ioctl(o->fd, FIONREAD, &waiting) < 0)
		return;
	/* For a terminal, FIONREAD counts only the first buffer. */
	if (o->kind == OUTPUT_PTY || waiting > PROC_REST_MAX_BYTES)
		waiting = PROC_REST_MAX_BYTES;
	while (!o->ended && taken < (size_t)waiting) {
		n = pass_chunk(o, true);
		if (n <= 0)
			break;
		taken += (size_t)n;
	}
}
