/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes an outgoing connection. It tries again until a peer accepts or a deadline passes, so a
 * client of the relay need not know that a guest is still booting or being restored.
 */
#ifndef ENVD_DIAL_H
#define ENVD_DIAL_H

#include <stdint.h>

#include "base/loop.h"
#include "envd/relay/address.h"

#define DIAL_RETRY_MS 25 /* between two tries */
/*
 * The time for one connect, and for a proxy's reply. A guest that boots can lose a request, so
 * waiting longer does not help; a guest that is busy answers late, so each further try has twice
 * the time.
 */
#define DIAL_STEP_MS 1000
#define DIAL_ONCE_MS                                                                               \
	30000 /* the same if there is one try only: a busy server's queue may be full */
#define DIAL_REPLY_BYTES 32 /* longest one-line reply of a host's proxy */

/* The address of a peer. */
struct dial_target {
	struct address address;
	/*
	 * If the address is the unix socket of a host's vsock proxy (Firecracker's docs/vsock.md):
	 * the port of the guest. The dial sends "CONNECT <port>\n", the proxy answers "OK
	 * <port>\n". 0 if there is no proxy.
	 */
	uint32_t proxy_port;
};

struct dial;

/*
 * The dial is over. fd is a connected, non-blocking socket that the callee takes, or -errno of the
 * last try. Called from the loop, once; may free the dial.
 */
typedef void dial_done_fn(struct dial *d, int fd, void *arg);

/*
 * Starts to connect, and tries again for patience_ms; with 0 there is one try. Copies the target.
 * Returns an owned dial, never NULL. `done` never comes from inside this call.
 */
struct dial *dial_new(struct loop *loop, const struct dial_target *target, uint64_t patience_ms,
		      dial_done_fn *done, void *arg);

/* Ends the dial, in any state, without calling done. NULL is fine. */
void dial_free(struct dial *d);

/*
 * Reads the first n bytes of a proxy's answer. Returns the length of the line if the line grants
 * the connection, 0 if the line is incomplete, -EPROTO if it is anything else. Public for its fuzz
 * target.
 */
int dial_reply_parse(const char *reply, size_t n);

#endif
