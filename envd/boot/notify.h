/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells a service manager about the daemon, in the datagrams of sd_notify(3). If the environment
 * has no NOTIFY_SOCKET, every function does nothing.
 */
#ifndef ENVD_NOTIFY_H
#define ENVD_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/un.h>

#include "base/loop.h"

struct notify {
	int fd;		   /* -1: there is no service manager */
	bool is_connected; /* fd is one end of a socketpair with process 1 of -init */
	struct sockaddr_un addr;
	socklen_t addr_bytes;
	uint64_t watchdog_ms; /* 0: the manager asked for none */
	bool timer_set_up;
	struct timer timer;
};

/*
 * Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and removes them from the environment. Call
 * it before the daemon starts a process.
 */
void notify_init(struct notify *n);

/*
 * Process 1 of -init is the manager, behind this end of a socketpair. Takes fd. Instead of
 * notify_init.
 */
void notify_init_connected(struct notify *n, int fd);

/*
 * Has the manager keep duplicates of the descriptors (FDSTORE of sd_notify(3)): after a crash the
 * next daemon finds them (envd/boot/inherited.h). `name` has no colon. Never waits; what the
 * manager does not take is lost.
 */
void notify_store(struct notify *n, const char *name, const int *fds, size_t n_fds);

/* The manager closes what it keeps under the name. */
void notify_drop(struct notify *n, const char *name);

/*
 * The daemon listens, so units that are ordered after it may start. If the manager asked for a
 * watchdog, the loop sends WATCHDOG=1 twice in each period from now on.
 */
void notify_ready(struct notify *n, struct loop *loop);

/*
 * Puts the variables that notify_init has removed back into the environment, for a program that
 * replaces this one by execve(2); and removes them again.
 */
void notify_restore_environment(const struct notify *n);
void notify_clear_environment(const struct notify *n);

/*
 * The program that replaces this one does not know watchdogs: the manager's stops (sd_notify(3)).
 */
void notify_stop_watchdog(struct notify *n);

/* The daemon ends on purpose. Stops the watchdog's timer. */
void notify_stopping(struct notify *n);

/* Closes the socket. */
void notify_clear(struct notify *n);

#endif
