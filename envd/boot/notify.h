/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a service manager is told: sd_notify(3)'s datagrams, sent by ourselves. Without
 * NOTIFY_SOCKET in the environment every function does nothing.
 */
#ifndef ENVD_NOTIFY_H
#define ENVD_NOTIFY_H

#include <stdbool.h>
#include <sys/un.h>

#include "base/loop.h"

struct notify {
	int fd; /* -1: nobody to tell */
	struct sockaddr_un addr;
	socklen_t addr_bytes;
	uint64_t watchdog_ms; /* 0: none asked for */
	bool timer_set_up;
	struct timer timer;
};

/*
 * Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and removes them from the environment. Call
 * it before anything is started.
 */
void notify_init(struct notify *n);

/*
 * The daemon listens: units ordered after it may start. Where the manager asked for a watchdog,
 * the loop reports from now on that it turns, twice in each period; without one there is no timer.
 */
void notify_ready(struct notify *n, struct loop *loop);

/* The daemon is ending on purpose; stops the watchdog's timer. */
void notify_stopping(struct notify *n);

/* Closes the socket. */
void notify_clear(struct notify *n);

#endif
