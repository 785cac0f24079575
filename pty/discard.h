/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads outputs to their end and discards the bytes. Used for a process with X-Envd-End: leader, if
 * its background children still have the outputs open after the leader's end. If the daemon closed
 * the outputs, the next write of such a child would raise SIGPIPE.
 *
 * Each output counts as a process in the budget; above the limit, the output is closed. Loop only.
 */
#ifndef PTY_DISCARD_H
#define PTY_DISCARD_H

#include <stddef.h>
#include <sys/queue.h>

#include "base/budget.h"
#include "base/loop.h"

struct discard;

LIST_HEAD(discard_list, discard);

struct discards {
	struct loop *loop;
	struct budget *budget;
	struct discard_list list;
};

/* Borrows both. */
void discards_init(struct discards *d, struct loop *loop, struct budget *budget);
void discards_clear(struct discards *d);

/* Takes ownership of a non-blocking descriptor, and reads it to its end. */
void discards_add(struct discards *d, int fd);

/* Stores the descriptors, which it still owns, if `ret` is not NULL. Returns their number. */
size_t discards_fds(const struct discards *d, int *ret);

#endif
