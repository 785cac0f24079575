/*
 * What each process used, with all that it started: -process-accounting. CPU time and memory are
 * those of its cgroup (cgroup.h), whose files are read on a worker.
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

/* A row for each live process; NULL where processes are not accounted for. */
struct accounting *accounting_new(const struct pty_service *svc);

/* On a worker. NULL is fine, here and below. */
void accounting_read(struct accounting *a);

void accounting_free(struct accounting *a);

#endif
