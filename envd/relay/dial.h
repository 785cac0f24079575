/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection that is being made: it is tried until somebody answers or patience ends, so that
 * what connects through us need not know that a guest is still booting, or being restored.
 */
#ifndef ENVD_DIAL_H
#define ENVD_DIAL_H

#include <stdint.h>

#include "base/loop.h"
#include "envd/relay/address.h"

#define DIAL_RETRY_MS 25 /* between two tries */
#define DIAL_STEP_MS  1000 /* to connect, and for a reply: a guest that boots may lose a request … */
			   /* … and one that is busy answers late: twice as long the next time */
#define DIAL_ONCE_MS	 30000 /* the same where there is but one try: a busy server's queue is full */
#define DIAL_REPLY_BYTES 32    /* of a host proxy's one-line reply */

/* Where to, for any number of dials. */
struct dial_target {
	struct address address;
	/*
	 * For the unix socket of a host's vsock proxy (Firecracker's docs/vsock.md): the guest's
	 * port, asked for with "CONNECT <port>\n" and granted with "OK <host's port>\n". 0: none.
	 */
	uint32_t proxy_port;
};

struct dial;

/* fd: a connected, non-blocking socket, given; or -errno of the last try. May free the dial. */
typedef void dial_done_fn(struct dial *d, int fd, void *arg);

/*
 * Begins to try; with a patience of 0, once. Copies the target. Never NULL, and never calls back
 * from inside.
 */
struct dial *dial_new(struct loop *loop, const struct dial_target *target, uint64_t patience_ms,
		      dial_done_fn *done, void *arg);

/* Gives up, if it is not done. done is not called. */
void dial_free(struct dial *d);

/*
 * Judges what a proxy has answered so far, n bytes of it. Returns the length of its line where it
 * grants the connection, 0 where more must come, -EPROTO where it is anything else.
 */
int dial_reply_parse(const char *reply, size_t n);

#endif
