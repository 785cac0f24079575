/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPU time and memory of each process and its descendants (-process-accounting). A worker reads
 * them from the files of the process's cgroup (pty/cgroup/cgroup.h).
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

/* Creates a row for each live process. Returns NULL without -process-accounting. */
struct accounting *accounting_new(const struct pty_service *svc);

/* Reads the usage of each process; call it on a worker. Both functions accept NULL. */
void accounting_read(struct accounting *a);

void accounting_free(struct accounting *a);

#endif
