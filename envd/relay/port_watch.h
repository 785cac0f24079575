/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches the TCP listeners of the guest, for port forwarding and for GET /ports: scans them every
 * second while there are readers, and passes each scan to every reader. Loop only.
 *
 * The watch must scan, because the kernel does not report new listeners: the multicast groups of
 * sock_diag(7) report only destroyed sockets.
 */
#ifndef ENVD_PORT_WATCH_H
#define ENVD_PORT_WATCH_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/error.h"
#include "base/loop.h"

struct port_set;

/*
 * The interval between scans. It is shorter after the start of a process, since programs open ports
 * early.
 */
#define PORT_WATCH_POLL_MS	 1000
#define PORT_WATCH_POLL_YOUNG_MS 100
#define PORT_WATCH_YOUNG_MS	 5000

struct port_watch;

/* A reader, embedded in the object that it serves. */
struct port_reader {
	/* A scan succeeded. `set` is borrowed during the call. */
	void (*scanned)(void *arg, const struct port_set *set);
	void *arg;
	TAILQ_ENTRY(port_reader) link;
};

struct port_watch_options {
	/* The time of the last process start (clock_monotonic_ms); 0: none. Borrowed. */
	const uint64_t *young_since_ms;
	/* As for port_watch_set_own_inodes. */
	const uint32_t *own_inodes;
	size_t n_own_inodes;
};

/* 0 and the owned object, or -1 with ERROR_UNAVAILABLE if the kernel has no sock_diag. */
int port_watch_new(struct loop *loop, const struct port_watch_options *options,
		   struct port_watch **ret, struct error *err);
void port_watch_free(struct port_watch *w);

/* Listeners on this address belong to the forwarder, and are not to be forwarded again. */
void port_watch_set_own_address(struct port_watch *w, struct in_addr address);

/* The inodes of the daemon's listeners, PORT_SCAN_MAX_OWN at most. Copied. */
void port_watch_set_own_inodes(struct port_watch *w, const uint32_t *inodes, size_t n);

/* Borrowed until port_watch_set_own_inodes. Loop only. */
const uint32_t *port_watch_own_inodes(const struct port_watch *w, size_t *ret_n);

/* Adds a reader, and scans at once. Borrows it until port_watch_remove. */
void port_watch_add(struct port_watch *w, struct port_reader *reader);
void port_watch_remove(struct port_watch *w, struct port_reader *reader);

#endif
