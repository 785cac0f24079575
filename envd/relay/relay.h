/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A relay: two descriptors joined both ways, as two people who hand each other what they are given.
 *
 * Bytes go from one to the other through a pipe with splice(2), never into the daemon's memory. A
 * direction waits for one thing at a time: for its source while nothing is in its pipe, for its
 * destination while something is; so a reader that does not keep up holds up its own peer and
 * nobody else, with at most RELAY_PIPE_BYTES in between. An end of file is passed on as a
 * shutdown, and the other direction lives on. A failure of either side ends both: what is left
 * open is reset, so that nobody takes a part for the whole.
 *
 * A pipe is had only while bytes are in flight: an idle relay is its two descriptors and a few
 * hundred bytes. SIGPIPE must be ignored.
 */
#ifndef ENVD_RELAY_H
#define ENVD_RELAY_H

#include <sys/queue.h>

#include "base/loop.h"

#define RELAY_PIPE_BYTES (64 * 1024) /* in flight in one direction */
#define RELAY_TURNS	 16 /* pipes full that a direction moves before others get a turn */
#define RELAY_IDLE_PIPES 16 /* that are kept for the next to need one */

struct relay;

/* What relays of one kind share. Clear it when the last of them is freed. */
struct relay_hub {
	struct loop *loop;
	int pipes[RELAY_IDLE_PIPES][2];
	unsigned idle_pipes;
	unsigned relays;
};

void relay_hub_init(struct relay_hub *hub, struct loop *loop);
void relay_hub_clear(struct relay_hub *hub);

/*
 * It is over: rc is 0 where both sides came to their end, or -errno. Called from the loop, once;
 * may free the relay.
 */
typedef void relay_done_fn(struct relay *r, int rc, void *arg);

/*
 * Joins two connected stream sockets (TCP, unix, vsock), of any kind each. Takes both, and makes
 * them non-blocking. Never NULL, and never calls back from inside.
 */
struct relay *relay_new(struct relay_hub *hub, int a, int b, relay_done_fn *done, void *arg);

/* Ends it, closing what is open (with a reset where it was not over). done is not called. */
void relay_free(struct relay *r);

#endif
