/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets that the daemon's parent holds and hands down: a service manager by LISTEN_FDS
 * (sd_listen_fds(3)), or process 1 of -init (envd/boot/pid1.h) by fork.
 *
 * Port 49983 needs no privilege. If the daemon alone held it, then after a crash any process of the
 * guest could bind the port and receive the next /init with its token. A parent that keeps the
 * sockets leaves no such moment: connections wait in the kernel until the next daemon accepts them.
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
	char name[STORED_NAME_BYTES]; /* as notify_store was told */
};

struct inherited {
	bool held; /* a service manager or process 1 holds sockets too */
	struct listen_spec specs[INHERITED_MAX];
	int fds[INHERITED_MAX];
	size_t n;

	/* What a daemon before this one has stored with the parent (notify_store). Owned. */
	struct stored_fd *stored;
	size_t n_stored;

	int notify_fd; /* this end of a socketpair with process 1 of -init; -1: none */
};

/*
 * Numbers with commas between them: a daemon that is replaced by this one passes its sockets so
 * (envd/upgrade/). Unlike those of LISTEN_FDS they may have any number.
 */
#define INHERITED_NOTIFY_VARIABLE "ENVD_NOTIFY_FD" /* notify_fd, in the same way */
#define INHERITED_VARIABLE	  "ENVD_LISTEN_FDS"
#define INHERITED_HELD		  "held," /* before the numbers: a parent holds the sockets too */

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

/* Adds a descriptor to those that were stored. Takes it. */
void inherited_add_stored(struct inherited *set, int fd, const char *name, size_t n);

/* Whether one of the sockets has that address. */
bool inherited_covers(const struct inherited *set, const struct listen_spec *spec);

#endif
