/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A relay copies bytes between two sockets, in both directions, until both have ended.
 *
 * The bytes go through a pipe by splice(2) and never enter the daemon's memory. Each direction
 * waits for one event at a time: while its pipe is empty, for its source to be readable; otherwise
 * for its destination to be writable. A slow reader therefore slows down its own peer and no other,
 * with at most RELAY_PIPE_BYTES in between. An end of file is passed on as a shutdown, and the
 * other direction goes on. A failure of one side ends both, and both sockets are reset, so that no
 * client takes the first part of the data for all of it.
 *
 * A direction has a pipe only while bytes are in flight: an idle relay costs two descriptors and a
 * few hundred bytes. SIGPIPE must be ignored.
 */
#ifndef ENVD_RELAY_H
#define ENVD_RELAY_H

#include <sys/queue.h>

#include "base/loop.h"

#define RELAY_PIPE_BYTES (64 * 1024) /* most bytes in flight in one direction */
#define RELAY_TURNS	 16 /* times that a direction fills its pipe in one turn of the loop */
#define RELAY_IDLE_PIPES 16 /* kept open for the next direction that needs one */

struct relay;

/* Shared by the relays of one loop. Clear it after the last relay was freed. */
struct relay_hub {
	struct loop *loop;
	int pipes[RELAY_IDLE_PIPES][2];
	unsigned idle_pipes;
	unsigned relays;
};

void relay_hub_init(struct relay_hub *hub, struct loop *loop);
void relay_hub_clear(struct relay_hub *hub);

/*
 * The relay is over: rc is 0 if both sides came to their end of file, else -errno of the first
 * failure. Called from the loop, once; may free the relay.
 */
typedef void relay_done_fn(struct relay *r, int rc, void *arg);

/*
 * Joins two connected stream sockets (TCP, unix or vsock, also of different kinds). Takes both
 * descriptors and makes them non-blocking. Returns an owned relay, never NULL. `done` never comes
 * from inside this call.
 */
struct relay *relay_new(struct relay_hub *hub, int a, int b, relay_done_fn *done, void *arg);

/* Closes both sockets, with a reset unless both had ended. done is not called. NULL is fine. */
void relay_free(struct relay *r);

#endif
