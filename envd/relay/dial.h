/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connects to a peer. Tries again until a peer accepts or a deadline passes, so that a client of
 * the relay need not wait until a guest has booted or was restored.
 */
#ifndef ENVD_DIAL_H
#define ENVD_DIAL_H

#include <stdint.h>

#include "base/loop.h"
#include "envd/relay/address.h"

#define DIAL_RETRY_MS 25 /* between two tries */
/*
 * The timeout of one connect, and of one reply of a proxy. A guest that boots can lose a request,
 * so a longer wait does not help. A busy guest answers late, so each further try has twice the
 * time.
 */
#define DIAL_STEP_MS 1000
/* The same timeout if there is only one try: the accept queue of a busy server may be full. */
#define DIAL_ONCE_MS 30000
/* How long a dial with one try waits for a free descriptor. */
#define DIAL_SHORTAGE_MS 10000
#define DIAL_REPLY_BYTES 32 /* maximum length of the one-line reply of a host's proxy */

/* The address of a peer. */
struct dial_target {
	struct address address;
	/*
	 * If the address is the unix socket of a host's vsock proxy (Firecracker's docs/vsock.md):
	 * the port of the guest; else 0. The dial sends "CONNECT <port>\n", and the proxy answers
	 * "OK <port>\n".
	 */
	uint32_t proxy_port;
};

struct dial;

/*
 * Called when the dial has ended. fd is a connected, non-blocking socket, whose ownership passes to
 * the callee, or -errno of the last try. Called from the loop, once; may free the dial.
 */
typedef void dial_done_fn(struct dial *d, int fd, void *arg);

/*
 * Starts to connect, and tries again for patience_ms; 0: one try, which may wait for a free
 * descriptor. Copies the target. Returns an owned dial, never NULL. Does not call `done` before it
 * returns.
 */
struct dial *dial_new(struct loop *loop, const struct dial_target *target, uint64_t patience_ms,
		      dial_done_fn *done, void *arg);

/* Ends and frees the dial, in any state, without calling `done`. Accepts NULL. */
void dial_free(struct dial *d);

/*
 * Parses the first n bytes of a proxy's reply. Returns the length of the line if it grants the
 * connection, 0 if the line is incomplete, -EPROTO otherwise. Public for its fuzz target.
 */
int dial_reply_parse(const char *reply, size_t n);

#endif
