/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/discard.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

struct discard {
	struct discards *all;
	int fd; /* owned */
	struct fd_event event;
	LIST_ENTRY(discard) link;
};

static void discard_free(struct discard *discard)
{
	fd_event_del(&discard->event);
	fd_close(&discard->fd);
	LIST_REMOVE(discard, link);
	budget_give(discard->all->budget, BUDGET_PROCESSES, 1);
	free(discard);
}

static void discard_readable(evutil_socket_t fd, short what, void *arg)
{
	static char bytes[32 * 1024];
	struct discard *discard = arg;
	ssize_t n = read(fd, bytes, sizeof(bytes));

	/* EIO is the end of a terminal. */
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		discard_free(discard);
}

void discards_init(struct discards *d, struct loop *loop, struct budget *budget)
{
	d->loop = loop;
	d->budget = budget;
	LIST_INIT(&d->list);
}

void discards_clear(struct discards *d)
{
	struct discard *discard;

	while ((discard = LIST_FIRST(&d->list)))
		discard_free(discard);
}

void discards_add(struct discards *d, int fd)
{
	struct discard *discard;

	if (!budget_take(d->budget, BUDGET_PROCESSES, 1)) {
		close(fd);
		return;
	}
	discard = mem_zalloc(sizeof(*discard));
	discard->all = d;
	discard->fd = fd;
	fd_event_init(&discard->event, d->loop, fd, EV_READ | EV_PERSIST, discard_readable,
		      discard);
	fd_event_add(&discard->event);
	LIST_INSERT_HEAD(&d->list, discard, link);
}

size_t discards_fds(const struct discards *d, int *ret)
{
	const struct discard *discard;
	size_t n = 0;

	LIST_FOREACH (discard, &d->list, link) {
		if (ret)
			ret[n] = discard->fd;
		n++;
	}
	return n;
}
