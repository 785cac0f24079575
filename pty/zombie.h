/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reaping children without waiting for them.
 *
 * A pidfd is readable as soon as its process is a zombie, but waitid(2) may still have nothing to
 * return: a zombie with a tracer can be waited for by that tracer alone until the tracer waits,
 * detaches or exits (kernel/exit.c, wait_consider_task). Any user may trace a process of his own,
 * so how long that takes is his choice. Nothing here blocks: the exit status of a child that a
 * tracer holds is read from /proc, and a timer retries the reaping.
 *
 * Loop only.
 */
#ifndef PTY_ZOMBIE_H
#define PTY_ZOMBIE_H

#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/budget.h"
#include "base/loop.h"
#include "pty/exit_status.h"

/* The first retry comes after the minimum; each one that reaps nobody doubles the time. */
#define ZOMBIE_RETRY_MIN_MS 10
#define ZOMBIE_RETRY_MAX_MS 1000

struct zombie;

TAILQ_HEAD(zombie_list, zombie);

/* The children that are still to be reaped, and the timer that retries. */
struct zombies {
	struct budget *budget;
	struct zombie_list list;
	size_t n;
	struct timer retry;
	unsigned retry_ms;
};

/*
 * The exit status of a child whose pidfd is readable; the child stays to be reaped. Sets code,
 * status and usage of *ret, from /proc/PID/stat if a tracer holds the zombie. A status that cannot be found
 * out is {CLD_KILLED, 0}. The usage is that of the child and of the descendants that it waited for
 * (getrusage(2)), where no tracer holds the child.
 */
void zombie_read_status(pid_t pid, int pidfd, struct exit_status *ret);

/* Writes the pids of the z->n children to ret. */
void zombies_pids(const struct zombies *z, int32_t *ret);

/* Borrows both; the budget may be NULL. */
void zombies_init(struct zombies *z, struct loop *loop, struct budget *budget);

/* Closes the descriptors. The zombies are left to init. */
void zombies_clear(struct zombies *z);

/*
 * Takes the pidfd of a child that exits or has exited, and reaps it at once or as soon as its
 * tracer lets go. One of BUDGET_PROCESSES is given back when it is reaped, so zombies that are held
 * count as processes.
 */
void zombies_add(struct zombies *z, pid_t pid, int pidfd);

#endif
