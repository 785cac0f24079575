/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A relay copies bytes between two sockets, in both directions, until both have ended.
 *
 * The bytes move through a pipe by splice(2), outside the daemon's memory. Each direction waits for
 * one event at a time: for its source to be readable while its pipe is empty, otherwise for its
 * destination to be writable. So a slow reader slows down only its own peer, with at most
 * RELAY_PIPE_BYTES in between. EOF is passed on as a shutdown, and the other direction continues.
 * If one side fails, both directions end and both sockets are reset, so that no client takes the
 * first part of the data for all of it.
 *
 * A direction has a pipe only while bytes are in flight: an idle relay costs two descriptors and a
 * few hundred bytes. If there is no free descriptor for a pipe, the bytes wait in the socket.
 * SIGPIPE must be ignored.
 */
#ifndef ENVD_RELAY_H
#define ENVD_RELAY_H

#include <sys/queue.h>

#include "base/loop.h"

#define RELAY_PIPE_BYTES (64 * 1024) /* maximum bytes in flight per direction */
#define RELAY_TURNS	 16	     /* how often a direction fills its pipe in one turn */
#define RELAY_IDLE_PIPES 16	     /* pipes kept open for reuse */

#define RELAY_SHORTAGE_MS 100 /* between two tries to get a pipe */

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
 * Called when the relay has ended. rc is 0 if both sides reached EOF, else -errno of the first
 * failure. Called from the loop, once; may free the relay.
 */
typedef void relay_done_fn(struct relay *r, int rc, void *arg);

/*
 * Creates a relay between two connected stream sockets (TCP, unix or vsock, also of different
 * kinds). Takes ownership of both and makes them non-blocking. Returns an owned relay, never NULL.
 * Does not call `done` before it returns.
 */
struct relay *relay_new(struct relay_hub *hub, int a, int b, relay_done_fn *done, void *arg);

/*
 * Frees the relay and closes both sockets, with a reset unless both had ended. Does not call
 * `done`. Accepts NULL.
 */
void relay_free(struct relay *r);

#endif
