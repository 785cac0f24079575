/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a Start idempotent (X-Envd-Start-Key, docs/processes.md). A client that lost its connection
 * before it received `start` repeats the request with the same key, and joins the process instead
 * of starting a second one.
 *
 * A key exists from the request until the exit of its process is dropped. In this order it refers
 * to a start in progress (joining calls wait in it), a process, and a retained exit:
 *
 *	STARTING ── process started ──► RUNNING ── it ended ──► ENDED ── exit dropped ──► freed
 *	    └── start failed ──► freed
 *
 * Loop only.
 */
#ifndef PTY_START_KEY_H
#define PTY_START_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/error.h"
#include "pty/tap.h"

struct proc;
struct retained_exit;

#define START_KEY_MAX_BYTES 256
/*
 * The maximum size of a request with a key. The loop computes its digest, 8 ms for each MiB, and
 * the loop decodes requests up to this size as well (RPC_LOOP_STREAM_BYTES).
 */
#define START_KEY_REQUEST_MAX_BYTES (1024 * 1024)
#define START_KEY_BUCKETS	    256
#define START_KEY_DIGEST	    32

enum start_key_state {
	START_KEY_STARTING,
	START_KEY_RUNNING,
	START_KEY_ENDED,
};

struct start_key {
	enum start_key_state state;	   /* start_key_set_state is the only writer */
	uint8_t request[START_KEY_DIGEST]; /* SHA-256 of user, headers (start_options.h), message */
	struct tap_list waiting;	   /* STARTING: taps of the calls that joined */
	struct proc *proc;		   /* RUNNING: borrowed */
	struct retained_exit *exit;	   /* ENDED: borrowed */
	LIST_ENTRY(start_key) link;
	char text[];
};

LIST_HEAD(start_key_list, start_key);

struct start_keys {
	struct start_key_list buckets[START_KEY_BUCKETS];
};

/*
 * Looks up the key of a Start. Returns 1 if *ret exists and belongs to the same request. Returns 0
 * if *ret is new, in STARTING; or if the request has no key, with *ret NULL. Returns -1 with
 * ERROR_INVALID_ARGUMENT, or ERROR_ALREADY_EXISTS if another request has used the key.
 */
int start_key_take(struct start_keys *keys, const struct rpc_call *call,
		   const ProtobufCMessage *request, struct start_key **ret, struct error *err);

/*
 * Creates a key from an earlier daemon, in STARTING. Owned; NULL if the text or the digest is
 * malformed or the key exists.
 */
struct start_key *start_key_restore(struct start_keys *keys, const char *text,
				    const uint8_t *digest, size_t digest_bytes);

/* Move the key to the next state, or free it. All accept NULL. */
void start_key_run(struct start_key *key, struct proc *p);
void start_key_end(struct start_key *key, struct retained_exit *exit);
void start_key_free(struct start_key *key);

#endif
