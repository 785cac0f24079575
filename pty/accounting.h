/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPU time and memory of each process and its descendants (-process-accounting): the values of
 * its cgroup (pty/cgroup/cgroup.h), whose files are read on a worker.
 *
 *	accounting_new ─► accounting_read (worker) ─► the rows ─► accounting_free
 */
#ifndef PTY_ACCOUNTING_H
#define PTY_ACCOUNTING_H

#include <stdbool.h>
#include <stddef.h>

#include "pty/cgroup/cgroup.h"

struct proc;
struct pty_service;

struct accounting_row {
	struct proc *proc; /* a reference */
	bool known;
	struct cgroup_usage usage;
};

struct accounting {
	size_t n;
	struct accounting_row rows[];
};

/* A row for each live process; NULL without -process-accounting. */
struct accounting *accounting_new(const struct pty_service *svc);

/* On a worker. NULL is fine, here and below. */
void accounting_read(struct accounting *a);

void accounting_free(struct accounting *a);

#endif
