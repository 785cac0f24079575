/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reaps children without blocking.
 *
 * A pidfd is readable as soon as its process is a zombie, but waitid(2) may still return nothing: a
 * zombie that is traced can be waited for only by its tracer, until the tracer waits, detaches or
 * exits (kernel/exit.c, wait_consider_task). Any user may trace his own processes, and so decides
 * how long that takes. Therefore the exit status of a traced child is read from /proc, and a timer
 * retries the reaping.
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

/*
 * The first retry comes after the minimum. After each retry that reaps no child, the delay doubles.
 */
#define ZOMBIE_RETRY_MIN_MS 10
#define ZOMBIE_RETRY_MAX_MS 1000

struct zombie;

TAILQ_HEAD(zombie_list, zombie);

/* The children that must still be reaped, and the timer of the retries. */
struct zombies {
	struct budget *budget;
	struct loop *loop;
	struct zombie_list list;
	size_t n, n_held;
	struct timer retry;
	unsigned retry_ms;
};

/*
 * Reads the exit status of a child whose pidfd is readable, without reaping the child. Sets code
 * and status of *ret; from /proc/PID/stat if the child is traced. An unknown status is {CLD_KILLED,
 * 0}.
 */
void zombie_read_status(pid_t pid, int pidfd, struct exit_status *ret);

/* Writes the pids of the z->n children to ret. */
void zombies_pids(const struct zombies *z, int32_t *ret);

/* Initialises the list. Borrows both; the budget may be NULL. */
void zombies_init(struct zombies *z, struct loop *loop, struct budget *budget);

/* Closes the descriptors. After the daemon's exit, process 1 reaps the zombies. */
void zombies_clear(struct zombies *z);

/*
 * Takes ownership of the pidfd of a child that exits or has exited, and reaps the child, at once or
 * when its tracer releases it. Then gives back one of BUDGET_PROCESSES, so unreaped zombies count
 * as processes.
 */
void zombies_add(struct zombies *z, pid_t pid, int pidfd);

/* As zombies_add, for a child that may run for any time. */
void zombies_await(struct zombies *z, pid_t pid, int pidfd);

/* Returns true if the child was added by one of the two functions above and is not reaped yet. */
bool zombies_have(const struct zombies *z, pid_t pid);

#endif
