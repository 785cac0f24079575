/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/relay/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

enum flow_state {
	FLOW_OPEN,     /* the source is not at EOF */
	FLOW_STARVED,  /* the same, and there is no free descriptor for a pipe */
	FLOW_DRAINING, /* the source is at EOF; the pipe has the last bytes */
	FLOW_CLOSED,   /* EOF was passed to the destination */
};

/* One direction. */
struct flow {
	struct relay *relay;
	enum flow_state state;
	int source, destination; /* owned by the relay */
	int pipe[2];		 /* -1 while no byte is in flight */
	size_t in_pipe_bytes;
	struct fd_event readable; /* of the source; added while the pipe is empty */
	struct fd_event writable; /* of the destination; added while the pipe is not empty */
};

struct relay {
	struct relay_hub *hub;
	int fds[2];
	struct flow flows[2];
	int rc;		    /* the first failure */
	struct timer retry; /* pending while a flow is starved */
	struct defer over;
	relay_done_fn *done;
	void *arg;
};

void relay_hub_init(struct relay_hub *hub, struct loop *loop)
{
	*hub = (struct relay_hub){.loop = loop};
}

void relay_hub_clear(struct relay_hub *hub)
{
	/* Fatal: the caller's fault; it frees its relays first. */
	if (hub->relays)
		fatal("a relay outlives its hub");
	while (hub->idle_pipes) {
		hub->idle_pipes--;
		close(hub->pipes[hub->idle_pipes][0]);
		close(hub->pipes[hub->idle_pipes][1]);
	}
}

/* The only writer of the state. */
static void flow_set_state(struct flow *f, enum flow_state state)
{
	static const char *const names[] = {
		[FLOW_OPEN] = "open",
		[FLOW_STARVED] = "starved",
		[FLOW_DRAINING] = "draining",
		[FLOW_CLOSED] = "closed",
	};

	log_debug("relay %d to %d: %s -> %s", f->source, f->destination, names[f->state],
		  names[state]);
	f->state = state;
}

/* Gets a pipe for a direction that has none. 0 or -errno. */
static int take_pipe(struct relay_hub *hub, struct flow *f)
{
	if (f->pipe[0] >= 0)
		return 0;
	if (hub->idle_pipes) {
		hub->idle_pipes--;
		f->pipe[0] = hub->pipes[hub->idle_pipes][0];
		f->pipe[1] = hub->pipes[hub->idle_pipes][1];
		return 0;
	}
	return pipe2(f->pipe, O_CLOEXEC | O_NONBLOCK) < 0 ? -errno : 0;
}

/*
 * Releases the pipe of a direction. A pipe that still contains bytes is closed, so that they do not
 * reach another peer.
 */
static void release_pipe(struct relay_hub *hub, struct flow *f)
{
	if (f->pipe[0] < 0)
		return;
	if (f->in_pipe_bytes == 0 && hub->idle_pipes < RELAY_IDLE_PIPES) {
		hub->pipes[hub->idle_pipes][0] = fd_take(&f->pipe[0]);
		hub->pipes[hub->idle_pipes][1] = fd_take(&f->pipe[1]);
		hub->idle_pipes++;
		return;
	}
	fd_close(&f->pipe[0]);
	fd_close(&f->pipe[1]);
}

/* Returns true if splice(2) failed only because it would block. */
static bool would_wait(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/*
 * Moves bytes from the source into the pipe. 1 if bytes moved; 0 if it would block, or at EOF;
 * -errno.
 */
static int fill(struct flow *f)
{
	ssize_t n;
	int rc;

	if (f->state != FLOW_OPEN || f->in_pipe_bytes == RELAY_PIPE_BYTES)
		return 0;
	rc = take_pipe(f->relay->hub, f);
	if (fd_is_shortage(rc)) {
		flow_set_state(f, FLOW_STARVED);
		timer_set_ms(&f->relay->retry, RELAY_SHORTAGE_MS);
		return 0;
	}
	if (rc < 0)
		return rc;
	/* The kernel counts pages, not bytes: a pipe of small pieces is full earlier (EAGAIN). */
	n = splice(f->source, NULL, f->pipe[1], NULL, RELAY_PIPE_BYTES - f->in_pipe_bytes,
		   SPLICE_F_NONBLOCK);
	if (n > 0) {
		f->in_pipe_bytes += (size_t)n;
		return 1;
	}
	if (n == 0)
		flow_set_state(f, FLOW_DRAINING);
	return n == 0 || would_wait(n) ? 0 : -errno;
}

/* Moves bytes from the pipe to the destination. 1 if bytes moved; 0 if it would block; -errno. */
static int drain(struct flow *f)
{
	ssize_t n;

	if (f->in_pipe_bytes == 0)
		return 0;
	n = splice(f->pipe[0], NULL, f->destination, NULL, f->in_pipe_bytes, SPLICE_F_NONBLOCK);
	if (n > 0) {
		f->in_pipe_bytes -= (size_t)n;
		return 1;
	}
	return would_wait(n) ? 0 : n < 0 ? -errno : -EPIPE;
}

/* Moves bytes until it would block, at most RELAY_TURNS times. 0 or -errno. */
static int flow_move(struct flow *f)
{
	for (int turn = 0; turn < RELAY_TURNS; turn++) {
		int filled = fill(f), drained = filled < 0 ? 0 : drain(f);

		if (filled < 0 || drained < 0)
			return filled < 0 ? filled : drained;
		if (!filled && !drained)
			break;
	}
	return 0;
}

/* Passes EOF on, after the last byte. */
static void flow_finish(struct flow *f)
{
	if (f->state != FLOW_DRAINING || f->in_pipe_bytes)
		return;
	flow_set_state(f, FLOW_CLOSED);
	/*
	 * If the destination is gone, this fails, and the direction that reads from it reports the
	 * error.
	 */
	shutdown(f->destination, SHUT_WR);
}

/* Sets the events of a direction. No other function does. */
static void flow_update(struct flow *f)
{
	bool over = f->relay->rc < 0;

	if (f->in_pipe_bytes == 0)
		release_pipe(f->relay->hub, f);
	if (!over && f->state == FLOW_OPEN && f->in_pipe_bytes == 0)
		fd_event_add(&f->readable);
	else
		fd_event_del(&f->readable);
	if (!over && f->in_pipe_bytes)
		fd_event_add(&f->writable);
	else
		fd_event_del(&f->writable);
}

/* Decides if the relay has ended. No other function does. */
static void relay_settle(struct relay *r)
{
	if (r->rc < 0 || (r->flows[0].state == FLOW_CLOSED && r->flows[1].state == FLOW_CLOSED))
		defer_schedule(&r->over);
}

/* Called when the source is readable, or the destination writable. */
static void flow_event(evutil_socket_t fd, short what, void *arg)
{
	struct flow *f = arg;
	struct relay *r = f->relay;
	int rc = flow_move(f);

	if (rc < 0 && r->rc == 0)
		r->rc = rc;
	flow_finish(f);
	flow_update(&r->flows[0]);
	flow_update(&r->flows[1]);
	relay_settle(r);
}

/* A descriptor may be free by now: the next event of the source tries again. */
static void on_retry(void *arg)
{
	struct relay *r = arg;
	int i;

	for (i = 0; i < 2; i++) {
		if (r->flows[i].state == FLOW_STARVED)
			flow_set_state(&r->flows[i], FLOW_OPEN);
		flow_update(&r->flows[i]);
	}
}

static void relay_over(void *arg)
{
	struct relay *r = arg;

	r->done(r, r->rc, r->arg);
}

static void flow_init(struct flow *f, struct relay *r, int source, int destination)
{
	*f = (struct flow){
		.relay = r, .source = source, .destination = destination, .pipe = {-1, -1}};
	fd_event_init(&f->readable, r->hub->loop, source, EV_READ, flow_event, f);
	fd_event_init(&f->writable, r->hub->loop, destination, EV_WRITE, flow_event, f);
}

struct relay *relay_new(struct relay_hub *hub, int a, int b, relay_done_fn *done, void *arg)
{
	struct relay *r = mem_zalloc(sizeof(*r));

	r->hub = hub;
	hub->relays++;
	r->fds[0] = a;
	r->fds[1] = b;
	r->done = done;
	r->arg = arg;
	timer_init(&r->retry, hub->loop, on_retry, r);
	defer_init(&r->over, hub->loop, relay_over, r);
	flow_init(&r->flows[0], r, a, b);
	flow_init(&r->flows[1], r, b, a);
	r->rc = fd_set_nonblock(a);
	if (r->rc == 0)
		r->rc = fd_set_nonblock(b);
	flow_update(&r->flows[0]);
	flow_update(&r->flows[1]);
	relay_settle(r);
	return r;
}

/* Makes the next close of a TCP connection a reset (SO_LINGER of 0, socket(7)). */
static void reset_on_close(int fd)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

void relay_free(struct relay *r)
{
	bool whole;

	if (!r)
		return;
	whole = r->rc == 0 && r->flows[0].state == FLOW_CLOSED && r->flows[1].state == FLOW_CLOSED;
	for (int i = 0; i < 2; i++) {
		fd_event_del(&r->flows[i].readable);
		fd_event_del(&r->flows[i].writable);
		release_pipe(r->hub, &r->flows[i]);
		if (!whole)
			reset_on_close(r->fds[i]);
	}
	fd_close(&r->fds[0]);
	fd_close(&r->fds[1]);
	timer_cancel(&r->retry);
	defer_cancel(&r->over);
	r->hub->relays--;
	free(r);
}
