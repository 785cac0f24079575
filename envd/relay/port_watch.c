/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/relay/port_watch.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/fd.h"
#include "base/mem.h"
#include "envd/relay/port_scan.h"

struct port_watch {
	int netlink;
	const uint64_t *young_since_ms;
	struct timer timer;
	TAILQ_HEAD(, port_reader) readers;
	struct port_set found;
};

static void scan(void *arg)
{
	struct port_watch *w = arg;
	uint64_t now = clock_monotonic_ms(), since = *w->young_since_ms;
	bool young = since && now - since < PORT_WATCH_YOUNG_MS;
	struct port_reader *reader, *next;

	if (w->netlink >= 0 && port_scan(w->netlink, &w->found) == 0) {
		for (reader = TAILQ_FIRST(&w->readers); reader; reader = next) {
			next = TAILQ_NEXT(reader, link);
			reader->scanned(reader->arg, &w->found);
		}
	} else {
		/*
		 * The rest of a malformed answer must not be read as the beginning of the next one.
		 */
		fd_close(&w->netlink);
		w->netlink = port_scan_open();
	}
	if (!TAILQ_EMPTY(&w->readers))
		timer_set_ms(&w->timer, young ? PORT_WATCH_POLL_YOUNG_MS : PORT_WATCH_POLL_MS);
}

int port_watch_new(struct loop *loop, const struct port_watch_options *options,
		   struct port_watch **ret, struct error *err)
{
	struct port_watch *w = mem_zalloc(sizeof(*w));

	w->young_since_ms = options->young_since_ms;
	w->netlink = port_scan_open();
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
	fd_close(&w->netlink);
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
	if (TAILQ_EMPTY(&w->readers))
		timer_cancel(&w->timer);
}
