/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses on which the daemon listens: inherited sockets, the addresses of the flags, or the
 * default set. The default set includes vsock as soon as its device exists, even if the module is
 * loaded later.
 */
#ifndef ENVD_LISTENERS_H
#define ENVD_LISTENERS_H

#include "base/loop.h"
#include "envd/options.h"

struct inherited;
struct server;

struct listeners {
	struct server *server;
	const struct options *options;
	struct timer vsock_timer; /* tries vsock again */
	unsigned vsock_waited_s;
	bool takes_over;		 /* processes, after a handover or a crash */
	struct timer retry;		 /* takes_over: tries the failed addresses again */
	bool opened[OPTIONS_MAX_LISTEN]; /* which of options->listen need no further try */
	void (*opened_later)(void *arg); /* a listener opened after listeners_open; not NULL */
	void *arg;
};

/*
 * Borrows all pointers. `takes_over`: the daemon takes over processes. Calls `opened_later` each
 * time that a listener opens after the start.
 */
void listeners_init(struct listeners *l, struct loop *loop, struct server *server,
		    const struct options *options, bool takes_over, void (*opened_later)(void *arg),
		    void *arg);

/*
 * Serves the inherited sockets, and opens the missing ones. Prints one line with the addresses, or
 * with the error. 0, or -1 if an address can't be opened.
 *
 * A daemon that takes over processes returns 0 also if an address can't be opened, and a timer
 * tries again: the end of the daemon would end its processes, too. For a moment no daemon held the
 * port, so a process of the guest may have bound it.
 */
int listeners_open(struct listeners *l, const struct inherited *inherited);

void listeners_clear(struct listeners *l);

#endif
