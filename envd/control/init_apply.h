/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Applies an authorised /init whose timestamp is not stale. The order is the one of
 * compatibility/details 20: clock, variables, token, defaults, lifecycle; then the steps that can
 * block (the generation of envd/control/lifecycle.h, CA bundle, volumes); then the number of CPUs.
 * The first error ends the sequence.
 */
#ifndef ENVD_INIT_APPLY_H
#define ENVD_INIT_APPLY_H

#include "base/error.h"

struct control;
struct init_request;

/* The maximum time that an /init waits for the installation of its CA bundle. */
#define INIT_CA_TIMEOUT_MS (10 * 1000)

struct init_applied {
	unsigned status;	 /* HTTP status: 204, or 400 or 503 with `err` */
	struct error err;	 /* valid unless status is 204 */
	struct error cpus_error; /* its code is ERROR_OK unless the number of CPUs was refused */
};

typedef void init_applied_fn(void *arg, const struct init_applied *result);

/*
 * Applies the request. Borrows it until `done`, which is called once, perhaps before this function
 * returns. `done` is called in bounded time even if a worker hangs.
 */
void init_apply(struct control *c, const struct init_request *request, init_applied_fn *done,
		void *arg);

/*
 * Starts the work that the response of an /init does not wait for: the line in /etc/hosts for
 * hyperloopIP, and the copy of the CA bundle for update-ca-certificates(8). One such work runs at a
 * time. If several wait, only the last one runs; it takes over an earlier hyperloopIP.
 */
void init_tidy(struct control *c, const struct init_request *request);

#endif
