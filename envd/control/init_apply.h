/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Applies the data of an authorised /init that is not stale, in the order of compatibility/details
 * 20: clock, variables, token, defaults, lifecycle; then what can block: the CA bundle, volumes;
 * then the number of CPUs. After the first error the rest is left out.
 */
#ifndef ENVD_INIT_APPLY_H
#define ENVD_INIT_APPLY_H

#include "base/error.h"

struct control;
struct init_request;

/* How long an /init waits for its CA bundle to be installed. */
#define INIT_CA_TIMEOUT_MS (10 * 1000)

struct init_applied {
	unsigned status;	 /* 204, or that of the error: 400, 503 */
	struct error err;	 /* unless 204 */
	struct error cpus_error; /* code ERROR_OK unless the number of CPUs was refused */
};

typedef void init_applied_fn(void *arg, const struct init_applied *result);

/*
 * Applies the request, which is borrowed until `done`. `done` comes once, perhaps from inside the
 * call, and in bounded time: it does not wait for a worker that hangs.
 */
void init_apply(struct control *c, const struct init_request *request, init_applied_fn *done,
		void *arg);

/*
 * Starts what the answer of an /init does not wait for: the line of /etc/hosts for hyperloopIP, and
 * the copy of the CA bundle for update-ca-certificates(8). One at a time: of several that wait, the
 * last one is done.
 */
void init_tidy(struct control *c, const struct init_request *request);

#endif
