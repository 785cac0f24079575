/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/relay/dial.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

enum dial_state {
	DIAL_WAITING,	 /* for the timer of the next try */
	DIAL_CONNECTING, /* for the connection */
	DIAL_ASKING,	 /* for the reply of the proxy */
	DIAL_DONE,
};

struct dial {
	struct loop *loop;
	struct dial_target target;
	enum dial_state state;
	uint64_t deadline_ms;
	uint64_t shortage_ms; /* until then a try that has no descriptor is made again */
	uint64_t step_ms;     /* limit of the next connect or reply */
	bool once;
	int fd; /* of the current try, or -1 */
	int rc; /* -errno of the last try that failed */
	char reply[DIAL_REPLY_BYTES];
	size_t reply_bytes;
	struct fd_event event;
	struct timer timer; /* the next try, or the limit of the current step */
	struct defer over;
	dial_done_fn *done;
	void *arg;
};

static void dial_event(evutil_socket_t fd, short what, void *arg);

/* The only writer of the state and of its events and timer. */
static void dial_set_state(struct dial *d, enum dial_state state)
{
	static const char *const names[] = {
		[DIAL_WAITING] = "waiting",
		[DIAL_CONNECTING] = "connecting",
		[DIAL_ASKING] = "asking",
		[DIAL_DONE] = "done",
	};
	uint64_t now = clock_monotonic_ms();
	uint64_t left = now < d->deadline_ms ? d->deadline_ms - now : 0;
	uint64_t step = d->once ? DIAL_ONCE_MS : left < d->step_ms ? left : d->step_ms;

	if (d->state == DIAL_CONNECTING || d->state == DIAL_ASKING)
		fd_event_del(&d->event);
	if (state != d->state)
		log_debug("dial: %s -> %s", names[d->state], names[state]);
	d->state = state;
	switch (state) {
	case DIAL_WAITING:
		timer_set_ms(&d->timer,
			     left < DIAL_RETRY_MS && !fd_is_shortage(d->rc) ? left : DIAL_RETRY_MS);
		break;
	case DIAL_CONNECTING:
	case DIAL_ASKING:
		fd_event_init(&d->event, d->loop, d->fd,
			      (state == DIAL_ASKING ? EV_READ : EV_WRITE) | EV_PERSIST, dial_event,
			      d);
		fd_event_add(&d->event);
		timer_set_ms(&d->timer, step);
		break;
	case DIAL_DONE:
		timer_cancel(&d->timer);
		break;
	}
}

/* Ends the dial; the loop reports the descriptor, or rc if there is none. */
static void finish(struct dial *d)
{
	dial_set_state(d, DIAL_DONE);
	defer_schedule(&d->over);
}

/* A try failed: schedules the next one, or ends the dial if the deadline has passed. */
static void fail(struct dial *d, int rc)
{
	uint64_t now = clock_monotonic_ms();

	d->rc = rc;
	dial_set_state(d, DIAL_WAITING);
	fd_close(&d->fd);
	if (now >= d->deadline_ms && !(fd_is_shortage(rc) && now < d->shortage_ms))
		finish(d);
}

/* The socket is connected: asks the proxy for the guest's port, if there is a proxy. */
static void connected(struct dial *d)
{
	char request[32];
	int n;

	if (!d->target.proxy_port) {
		finish(d);
		return;
	}
	n = snprintf(request, sizeof(request), "CONNECT %u\n", d->target.proxy_port);
	/* The send buffer of a new socket has room for a line, so a short send is a failure. */
	if (send(d->fd, request, (size_t)n, MSG_NOSIGNAL) != n) {
		fail(d, -EPIPE);
		return;
	}
	d->reply_bytes = 0;
	dial_set_state(d, DIAL_ASKING);
}

/* Makes one try. */
static void try_now(struct dial *d)
{
	d->fd = socket(d->target.address.storage.ss_family,
		       SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (d->fd < 0) {
		fail(d, -errno);
		return;
	}
	if (connect(d->fd, (struct sockaddr *)&d->target.address.storage,
		    d->target.address.bytes) == 0)
		connected(d);
	else if (errno == EINPROGRESS)
		dial_set_state(d, DIAL_CONNECTING);
	else
		fail(d, -errno);
}

int dial_reply_parse(const char *reply, size_t n)
{
	static const char granted[] = "OK ";
	const char *end = memchr(reply, '\n', n);
	size_t i;

	for (i = 0; i < n && i < 3; i++)
		if (reply[i] != granted[i])
			return -EPROTO;
	for (; i < n && reply + i != end; i++)
		if (reply[i] < '0' || reply[i] > '9')
			return -EPROTO;
	if (end)
		return end > reply + 3 ? (int)(end - reply) + 1 : -EPROTO;
	return n < DIAL_REPLY_BYTES ? 0 : -EPROTO;
}

/*
 * Reads the proxy's line, and no byte after it, because the next bytes come from the guest and the
 * relay moves them. Therefore the bytes are peeked first, and consumed only if they belong to the
 * line.
 */
static void read_reply(struct dial *d)
{
	char *end = d->reply + d->reply_bytes;
	ssize_t n = recv(d->fd, end, sizeof(d->reply) - d->reply_bytes, MSG_PEEK);
	size_t take;
	int line;

	if (n <= 0) {
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		/* A proxy closes the connection if nothing listens on the guest's port. */
		fail(d, n < 0 ? -errno : -ECONNREFUSED);
		return;
	}
	line = dial_reply_parse(d->reply, d->reply_bytes + (size_t)n);
	take = line > 0 ? (size_t)line - d->reply_bytes : (size_t)n;
	if (line < 0 || recv(d->fd, end, take, 0) != (ssize_t)take) {
		fail(d, -EPROTO);
		return;
	}
	d->reply_bytes += take;
	if (line > 0)
		finish(d);
}

/* The connection was made or refused, or the proxy answered. */
static void dial_event(evutil_socket_t fd, short what, void *arg)
{
	struct dial *d = arg;
	socklen_t size = sizeof(int);
	int failure = 0;

	if (d->state == DIAL_ASKING) {
		read_reply(d);
		return;
	}
	if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &failure, &size) < 0)
		failure = errno;
	if (failure)
		fail(d, -failure);
	else
		connected(d);
}

static void dial_timer(void *arg)
{
	struct dial *d = arg;

	if (d->state == DIAL_WAITING) {
		try_now(d);
		return;
	}
	d->step_ms *= 2;
	fail(d, -ETIMEDOUT);
}

static void dial_over(void *arg)
{
	struct dial *d = arg;

	d->done(d, d->fd >= 0 ? fd_take(&d->fd) : d->rc, d->arg);
}

struct dial *dial_new(struct loop *loop, const struct dial_target *target, uint64_t patience_ms,
		      dial_done_fn *done, void *arg)
{
	struct dial *d = mem_zalloc(sizeof(*d));

	d->loop = loop;
	d->target = *target;
	d->deadline_ms = clock_monotonic_ms() + patience_ms;
	d->shortage_ms = clock_monotonic_ms() + DIAL_SHORTAGE_MS;
	d->once = patience_ms == 0;
	d->step_ms = DIAL_STEP_MS;
	d->fd = -1;
	d->done = done;
	d->arg = arg;
	timer_init(&d->timer, loop, dial_timer, d);
	defer_init(&d->over, loop, dial_over, d);
	/* The loop makes the first try in its next turn. */
	timer_set_ms(&d->timer, 0);
	return d;
}

void dial_free(struct dial *d)
{
	if (!d)
		return;
	dial_set_state(d, DIAL_DONE);
	defer_cancel(&d->over);
	fd_close(&d->fd);
	free(d);
}
