/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/relay/port_watch.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/mem.h"
#include "envd/relay/port_scan.h"

struct port_watch {
	struct loop *loop;
	int netlink;
	unsigned char family; /* of the dump that is being read; 0: none */
	struct fd_event readable;
	const uint64_t *young_since_ms;
	struct timer timer; /* the next scan */
	TAILQ_HEAD(, port_reader) readers;
	struct port_set found;
};

static void schedule(struct port_watch *w)
{
	uint64_t now = clock_monotonic_ms(), since = *w->young_since_ms;
	bool young = since && now - since < PORT_WATCH_YOUNG_MS;

	if (!TAILQ_EMPTY(&w->readers))
		timer_set_ms(&w->timer, young ? PORT_WATCH_POLL_YOUNG_MS : PORT_WATCH_POLL_MS);
}

/* Ends the dump that is being read. */
static void end_dump(struct port_watch *w)
{
	if (w->family)
		fd_event_del(&w->readable);
	w->family = 0;
}

/* The rest of an answer must not be read as the beginning of the next one. */
static void break_off(struct port_watch *w)
{
	end_dump(w);
	fd_close(&w->netlink);
}

static void begin_dump(struct port_watch *w, unsigned char family)
{
	if (port_scan_request(w->netlink, family) < 0) {
		break_off(w);
		schedule(w);
		return;
	}
	w->family = family;
	fd_event_add(&w->readable);
}

static void finish(struct port_watch *w)
{
	struct port_reader *reader, *next;

	for (reader = TAILQ_FIRST(&w->readers); reader; reader = next) {
		next = TAILQ_NEXT(reader, link);
		reader->scanned(reader->arg, &w->found);
	}
	schedule(w);
}

/*
 * Reads one answer in a turn of the loop: a guest with very many listeners makes the scan long, but
 * not the turn.
 */
static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct port_watch *w = arg;
	unsigned char family = w->family;
	int r = port_scan_read(w->netlink, &w->found);

	if (r == 0 || r == -EAGAIN || r == -EINTR)
		return;
	if (r < 0 && !(family == AF_INET6 && r == -ENOENT)) {
		break_off(w);
		schedule(w);
		return;
	}
	end_dump(w);
	if (family == AF_INET)
		begin_dump(w, AF_INET6);
	else
		finish(w);
}

static void set_netlink(struct port_watch *w, int fd)
{
	w->netlink = fd;
	if (fd >= 0)
		fd_event_init(&w->readable, w->loop, fd, EV_READ | EV_PERSIST, on_readable, w);
}

static void scan(void *arg)
{
	struct port_watch *w = arg;

	if (w->family)
		return; /* its end sets the timer */
	if (w->netlink < 0)
		set_netlink(w, port_scan_open());
	if (w->netlink < 0) {
		schedule(w);
		return;
	}
	w->found.n = w->found.n_listeners = 0;
	begin_dump(w, AF_INET);
}

int port_watch_new(struct loop *loop, const struct port_watch_options *options,
		   struct port_watch **ret, struct error *err)
{
	struct port_watch *w = mem_zalloc(sizeof(*w));

	w->young_since_ms = options->young_since_ms;
	w->loop = loop;
	set_netlink(w, port_scan_open());
	if (w->netlink < 0) {
		error_set_errno(err, ERROR_UNAVAILABLE, w->netlink, "listeners can't be listed");
		free(w);
		return -1;
	}
	port_watch_set_own_inodes(w, options->own_inodes, options->n_own_inodes);
	TAILQ_INIT(&w->readers);
	timer_init(&w->timer, loop, scan, w);
	*ret = w;
	return 0;
}

void port_watch_free(struct port_watch *w)
{
	if (!w)
		return;
	timer_cancel(&w->timer);
	break_off(w);
	free(w);
}

void port_watch_set_own_address(struct port_watch *w, struct in_addr address)
{
	w->found.own_v4 = address;
}

void port_watch_set_own_inodes(struct port_watch *w, const uint32_t *inodes, size_t n)
{
	for (w->found.n_own = 0; w->found.n_own < n && w->found.n_own < PORT_SCAN_MAX_OWN;
	     w->found.n_own++)
		w->found.own[w->found.n_own] = inodes[w->found.n_own];
}

const uint32_t *port_watch_own_inodes(const struct port_watch *w, size_t *ret_n)
{
	*ret_n = w->found.n_own;
	return w->found.own;
}

void port_watch_add(struct port_watch *w, struct port_reader *reader)
{
	TAILQ_INSERT_TAIL(&w->readers, reader, link);
	timer_set_ms(&w->timer, 0);
}

void port_watch_remove(struct port_watch *w, struct port_reader *reader)
{
	TAILQ_REMOVE(&w->readers, reader, link);
	if (!TAILQ_EMPTY(&w->readers))
		return;
	timer_cancel(&w->timer);
	if (w->family)
		break_off(w);
}
