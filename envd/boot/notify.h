/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports the daemon's state to a service manager, by datagrams of the sd_notify(3) protocol. If
 * the environment has no NOTIFY_SOCKET, every function does nothing.
 */
#ifndef ENVD_NOTIFY_H
#define ENVD_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <sys/un.h>

#include "base/loop.h"

/*
 * The kernel queues few datagrams for a receiver (net.unix.max_dgram_qlen), so messages to a busy
 * manager wait in the daemon. The memory for them is bounded: a state waits as one bit; a removal
 * (notify_drop) waits once for each name that notify_store has sent; descriptors do not wait here,
 * because the caller of notify_store tries again.
 */
struct notify_removal;

TAILQ_HEAD(notify_removals, notify_removal);

/* States are sent in this order, before the removals. */
enum notify_state {
	NOTIFY_READY,
	NOTIFY_WATCHDOG,
	NOTIFY_NO_WATCHDOG,
	NOTIFY_STOPPING,
	NOTIFY_STATES,
};

/* The delay of the next try after the manager was busy. Each try that sends nothing doubles it. */
#define NOTIFY_RETRY_MS	    5
#define NOTIFY_RETRY_MAX_MS 1000

#define NOTIFY_NAME_BYTES 32

struct notify {
	int fd;		   /* -1: there is no service manager */
	bool is_connected; /* fd is one end of a socketpair with process 1 of -init */
	struct sockaddr_un addr;
	socklen_t addr_bytes;
	uint64_t watchdog_ms; /* 0: the manager requested no watchdog */
	struct timer timer;
	struct loop *loop;		 /* NULL before notify_ready */
	unsigned states;		 /* states that wait, one bit for each */
	struct notify_removals removals; /* removals that wait, oldest first */
	bool store_waits; /* notify_store has returned false since `room` was called */
	bool stored;	  /* notify_store has returned true since then */
	struct timer retry;
	uint64_t retry_ms;
	void (*room)(void *arg);
	void *room_arg;
};

/*
 * Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and removes them from the environment. Call
 * it before the daemon starts a process.
 */
void notify_init(struct notify *n);

/*
 * Use instead of notify_init if process 1 of -init is the manager: `fd` is the daemon's end of a
 * socketpair with process 1. Takes ownership of fd.
 */
void notify_init_connected(struct notify *n, int fd);

/*
 * Sends duplicates of the descriptors to the manager, which keeps them (FDSTORE in sd_notify(3)).
 * After a crash the next daemon receives them (envd/boot/inherited.h). `name` must not contain a
 * colon and is shorter than NOTIFY_NAME_BYTES. Does not block. Returns false if the manager is busy
 * and got nothing: `room` will be called when it reads again.
 */
bool notify_store(struct notify *n, const char *name, const int *fds, size_t n_fds);

/* `room` is called on the loop when notify_store has returned false, and may now succeed. */
void notify_on_room(struct notify *n, void (*room)(void *arg), void *arg);

/*
 * Tells the manager to close the descriptors that it keeps under the name. Call it only for a name
 * that notify_store has sent.
 */
void notify_drop(struct notify *n, const char *name);

/*
 * Stores the names of notify_drop that wait for the manager, borrowed, if `ret` is not NULL.
 * Returns their number.
 */
size_t notify_removals(const struct notify *n, const char **ret);

/*
 * Reports that the daemon listens, so that the manager starts the units ordered after it. If the
 * manager requested a watchdog, the loop sends WATCHDOG=1 twice in each period from now on.
 */
void notify_ready(struct notify *n, struct loop *loop);

/*
 * notify_restore_environment sets the variables that notify_init removed, for a program that
 * replaces this one by execve(2). notify_clear_environment removes them again.
 */
void notify_restore_environment(const struct notify *n);
void notify_clear_environment(const struct notify *n);

/*
 * Stops the manager's watchdog (sd_notify(3)), if the program that replaces this one does not
 * support watchdogs.
 */
void notify_stop_watchdog(struct notify *n);

/* Reports that the daemon is stopping, and stops the watchdog's timer. */
void notify_stopping(struct notify *n);

/* Closes the socket. */
void notify_clear(struct notify *n);

#endif
