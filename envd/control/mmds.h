/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata service of Firecracker (MMDS version 2, docs/mmds/mmds-user-guide.md there): who
 * this sandbox is, where its log goes, and whose token /init may trust.
 */
#ifndef ENVD_MMDS_H
#define ENVD_MMDS_H

#include <stddef.h>

#include "base/loop.h"

/* Polled so often until it answers, but more and more rarely after ten seconds of silence. */
#define MMDS_POLL_MS	      50
#define MMDS_POLL_SLOW_MS     5000
#define MMDS_POLL_PATIENCE_MS (10 * 1000)

/* One call takes at most so long. */
#define MMDS_TIMEOUT_MS (10 * 1000)

/* After an /init it is asked again, for so long. */
#define MMDS_REPOLL_MS (60 * 1000)

struct mmds_answer {
	char instance_id[256];
	char env_id[256];
	char address[512]; /* of the log collector */
	char token_hash[160];
};

/* Reads the answer's JSON: unknown fields are ignored, longer texts refused. 0 or -EPROTO. */
int mmds_parse(const char *p, size_t n, struct mmds_answer *ret);

struct mmds;

/* `known` is called from the loop with every answer of the polls. */
struct mmds *mmds_new(struct loop *loop, void (*known)(void *arg, const struct mmds_answer *answer),
		      void *arg);
void mmds_free(struct mmds *m);

/* Polls until it answers; at most for `limit_ms`, where that is not 0. */
void mmds_poll(struct mmds *m, unsigned limit_ms);

/*
 * Asks once. `done` comes from the loop with the answer (borrowed for the call), or NULL where
 * there is none. One such question at a time.
 */
void mmds_ask(struct mmds *m, void (*done)(void *arg, const struct mmds_answer *answer), void *arg);

#endif
