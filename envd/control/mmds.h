/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client of Firecracker's metadata service (MMDS version 2, docs/mmds/mmds-user-guide.md of
 * Firecracker). The service tells the names of the sandbox, the address of the log collector, and
 * the hash of the token that /init may set.
 */
#ifndef ENVD_MMDS_H
#define ENVD_MMDS_H

#include <stddef.h>

#include "base/loop.h"

/*
 * The poll interval until the service answers. After MMDS_POLL_PATIENCE_MS without an answer, the
 * interval doubles with each poll, up to MMDS_POLL_SLOW_MS.
 */
#define MMDS_POLL_MS	      50
#define MMDS_POLL_SLOW_MS     5000
#define MMDS_POLL_PATIENCE_MS (10 * 1000)

/* The timeout of each of the two HTTP requests of a lookup. */
#define MMDS_TIMEOUT_MS (10 * 1000)

/* The duration of the poll that follows an /init. */
#define MMDS_REPOLL_MS (60 * 1000)

struct mmds_answer {
	char instance_id[256];
	char env_id[256];
	char address[512]; /* of the log collector */
	char token_hash[160];
};

/*
 * Parses the answer's JSON. Ignores unknown fields. 0, or -EPROTO if the JSON is malformed or a
 * text does not fit.
 */
int mmds_parse(const char *p, size_t n, struct mmds_answer *ret);

struct mmds;

/*
 * Creates a client. `known` is called from the loop with each answer of a poll, borrowed during the
 * call.
 */
struct mmds *mmds_new(struct loop *loop, void (*known)(void *arg, const struct mmds_answer *answer),
		      void *arg);
void mmds_free(struct mmds *m);

/*
 * Polls until the service answers, for at most limit_ms (0: without a limit). Replaces an earlier
 * poll.
 */
void mmds_poll(struct mmds *m, unsigned limit_ms);

/*
 * Asks once. `done` is called from the loop with the answer, borrowed during the call, or with NULL
 * if there is none. The caller must wait for `done` before it asks again.
 */
void mmds_ask(struct mmds *m, void (*done)(void *arg, const struct mmds_answer *answer), void *arg);

#endif
