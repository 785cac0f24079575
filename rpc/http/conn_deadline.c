/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets the deadlines of a connection: for the request's head, for a body, for a slow reader, and
 * for an idle connection. Waiting for the daemon or a process has no deadline (server.h).
 */
#include <event2/buffer.h>
#include <poll.h>

#include "base/log.h"
#include "rpc/http/conn_impl.h"
#include "rpc/http/server_impl.h"

/* Returns the action of the client that the connection waits for now. */
static enum conn_wait conn_wait_now(const struct conn *c)
{
	if (c->phase == CONN_LINGERING)
		return WAIT_LINGER;
	if (c->reserve)
		return WAIT_RESERVE;
	if (c->http.state == HTTP1_HEAD)
		return WAIT_HEAD;
	if (conn_has_output(c))
		return WAIT_PROGRESS;
	if (c->http.state == HTTP1_IDLE)
		return WAIT_IDLE;
	switch (http1_pace(&c->http)) {
	case HTTP1_PACE_BOUNDED:
		return WAIT_BODY;
	case HTTP1_PACE_STEADY:
		return WAIT_PROGRESS;
	default:
		return c->reading || c->http.state == HTTP1_LENT ? WAIT_NONE : WAIT_PEER;
	}
}

/* Returns the time that the client has for the action, from now. */
static unsigned conn_timeout_ms(const struct conn *c, enum conn_wait wait)
{
	const struct server_timeouts *t = &c->server->timeouts;
	const unsigned delays_ms[] = {
		[WAIT_HEAD] = t->head_ms,     [WAIT_BODY] = t->head_ms,
		[WAIT_IDLE] = t->idle_ms,     [WAIT_PROGRESS] = t->progress_ms,
		[WAIT_LINGER] = t->linger_ms, [WAIT_RESERVE] = t->reserve_ms,
		[WAIT_PEER] = t->peer_ms,
	};

	return delays_ms[wait];
}

/* Returns true if the current deadline does not belong to this wait. */
static bool conn_deadline_is_new(const struct conn *c, enum conn_wait wait)
{
	if (wait != c->wait)
		return true;
	if (wait == WAIT_IDLE || wait == WAIT_PROGRESS)
		return c->moved;
	return wait != WAIT_RESERVE && wait != WAIT_LINGER && c->wait_request != c->http.n_requests;
}

/*
 * The timer is reset only to an earlier time. If it fires too early, it is set again: the deadline
 * of a busy connection moves with each request, and resetting the timer each time would cost more.
 */
void conn_set_deadline(struct conn *c)
{
	enum conn_wait wait = conn_wait_now(c);
	uint64_t previous = c->deadline_ms;
	unsigned delay_ms;

	if (!conn_deadline_is_new(c, wait))
		return;
	c->wait = wait;
	c->wait_request = c->http.n_requests;
	c->moved = false;
	if (wait == WAIT_NONE)
		return;
	delay_ms = conn_timeout_ms(c, wait);
	c->deadline_ms = clock_monotonic_ms() + delay_ms;
	if (!timer_pending(&c->timer) || c->deadline_ms < previous)
		timer_set_ms(&c->timer, delay_ms);
}

/*
 * Returns false if the client of a socket that is not read has gone. Its stream is held, or its
 * further requests fill the read-ahead. The client's end of input can't be read behind them.
 */
static bool conn_has_peer(struct conn *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};

	if (poll(&p, 1, 0) <= 0)
		return true;
	/* A unix socket that was closed (POLLHUP) may still hold the rest of a body. */
	if (p.revents & (c->http.state == HTTP1_BODY ? POLLERR : POLLERR | POLLHUP))
		return false;
	if (p.revents & POLLRDHUP)
		http1_half_closed(&c->http);
	return true;
}

static void on_timer(void *arg)
{
	static const char *const names[] = {
		[WAIT_HEAD] = "for a request's head",
		[WAIT_BODY] = "for a body without a token",
		[WAIT_IDLE] = "for a request",
		[WAIT_PROGRESS] = "for the client to move",
		[WAIT_LINGER] = "for the client's end",
		[WAIT_RESERVE] = "on a reserve connection",
		[WAIT_PEER] = "for a client that has gone",
	};
	struct conn *c = arg;
	uint64_t now = clock_monotonic_ms();

	if (c->wait == WAIT_NONE)
		return;
	if (now < c->deadline_ms) {
		timer_set_ms(&c->timer, c->deadline_ms - now);
		return;
	}
	if (c->wait == WAIT_PEER && conn_has_peer(c)) {
		c->deadline_ms = now + c->server->timeouts.peer_ms;
		timer_set_ms(&c->timer, c->server->timeouts.peer_ms);
		return;
	}
	log_debug("connection %llu: waited too long %s", (unsigned long long)c->http.id,
		  names[c->wait]);
	c->updating = true;
	if (c->http.stream)
		http1_abort(&c->http);
	conn_free(c);
}

void conn_init_deadline(struct conn *c)
{
	timer_init(&c->timer, c->server->loop, on_timer, c);
}
