/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outputs that are read and discarded: those of a process that has ended with its leader
 * (X-Envd-End: leader) while background children still have them open. If they were closed, the
 * next write of such a child would be SIGPIPE.
 *
 * Each one counts as a process in the budget; above its limit the output is closed. Loop only.
 */
#ifndef PTY_DISCARD_H
#define PTY_DISCARD_H

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

/* Takes a descriptor that does not block, and reads it to its end. */
void discards_add(struct discards *d, int fd);

#endif
