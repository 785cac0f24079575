/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts that happen once (X-Envd-Start-Key, docs/processes.md). A client that lost its connection
 * before it read `start` repeats the request with the same key and joins the process, instead of
 * starting a second one.
 *
 * A key lives from the request to the moment when the exit of its process is forgotten. It names,
 * in this order, a start under way (the joining calls wait in it), a process, a retained exit:
 *
 *	STARTING ── the process is there ──► RUNNING ── it ended ──► ENDED ── forgotten ──► freed
 *	    └── the start failed ──► freed
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
#define START_KEY_BUCKETS   256
#define START_KEY_DIGEST    32

enum start_key_state {
	START_KEY_STARTING,
	START_KEY_RUNNING,
	START_KEY_ENDED,
};

struct start_key {
	enum start_key_state state;	   /* start_key_set_state is the only writer */
	uint8_t request[START_KEY_DIGEST]; /* SHA-256 of user and message */
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
 * Looks for the key of a Start. 1: *ret is there already, and the request is the same; 0: it is
 * new, in STARTING; or the request has none, and *ret is NULL. -1: ERROR_INVALID_ARGUMENT, or
 * ERROR_ALREADY_EXISTS if another request has used the key.
 */
int start_key_take(struct start_keys *keys, const struct rpc_call *call,
		   const ProtobufCMessage *request, struct start_key **ret, struct error *err);

/*
 * A key that another daemon knew, in STARTING. Owned; NULL if the text or the digest is malformed
 * or the key is known already.
 */
struct start_key *start_key_restore(struct start_keys *keys, const char *text,
				    const uint8_t *digest, size_t digest_bytes);

/* The three take NULL. */
void start_key_run(struct start_key *key, struct proc *p);
void start_key_end(struct start_key *key, struct retained_exit *exit);
void start_key_free(struct start_key *key);

#endif
