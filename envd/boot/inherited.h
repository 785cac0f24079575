/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets that the daemon's parent holds and passes on: a service manager by LISTEN_FDS
 * (sd_listen_fds(3)), or process 1 of -init (envd/boot/pid1.h) by fork.
 *
 * Why: port 49983 needs no privilege. If only the daemon held the socket, any process of the guest
 * could bind the port after a crash and receive the next /init with its token. While the parent
 * holds the socket, the kernel queues connections until the next daemon accepts them.
 */
#ifndef ENVD_INHERITED_H
#define ENVD_INHERITED_H

#include <stdbool.h>
#include <stddef.h>

#include "rpc/http/listen.h"

#define INHERITED_MAX 32

#define STORED_NAME_BYTES 32

struct stored_fd {
	int fd;
	char name[STORED_NAME_BYTES]; /* the `name` of notify_store */
};

struct inherited {
	bool held; /* a service manager or process 1 holds sockets too */
	struct listen_spec specs[INHERITED_MAX];
	int fds[INHERITED_MAX];
	size_t n;

	/* The descriptors that an earlier daemon stored with the parent (notify_store). Owned. */
	struct stored_fd *stored;
	size_t n_stored;

	int notify_fd; /* the daemon's end of a socketpair with process 1 of -init; -1: none */
};

/*
 * Environment variables by which a daemon passes descriptors to the daemon that replaces it
 * (envd/upgrade/). ENVD_LISTEN_FDS has the listening sockets and ENVD_NOTIFY_FD has notify_fd, as
 * decimal numbers with commas between them. Unlike the descriptors of LISTEN_FDS, the numbers need
 * not be consecutive.
 */
#define INHERITED_NOTIFY_VARIABLE "ENVD_NOTIFY_FD"
#define INHERITED_VARIABLE	  "ENVD_LISTEN_FDS"
#define INHERITED_HELD		  "held," /* prefix of the list: a parent holds the sockets too */

/*
 * Adopts the sockets of LISTEN_FDS if LISTEN_PID is this process, and those of ENVD_LISTEN_FDS, and
 * removes the variables from the environment. A descriptor that is no listening stream socket is
 * logged and closed. Call it before the daemon opens any descriptor.
 */
void inherited_from_environment(struct inherited *set);

/*
 * Opens the sockets so that children inherit them by fork. A spec that can't be opened is skipped:
 * the child tries again and reports the reason.
 */
void inherited_open(struct inherited *set, const struct listen_spec *specs, size_t n);

/* Adds a stored descriptor to the set. Takes ownership of the descriptor. */
void inherited_add_stored(struct inherited *set, int fd, const char *name, size_t n);

/* Returns true if one of the sockets is bound to the address. */
bool inherited_covers(const struct inherited *set, const struct listen_spec *spec);

#endif
