/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate: the checks that every request passes before the router, in this order
 * (compatibility/details 1): cross-origin rules and preflights, the access token, the user of HTTP
 * Basic.
 */
#ifndef ENVD_GATE_H
#define ENVD_GATE_H

#include <stdbool.h>

struct context;
struct stream;

/* Whether the access token lets the request pass: auth_allows (envd/control/auth.h). */
typedef bool gate_token_fn(const struct stream *s, void *arg);

struct gate {
	struct context *context;
	bool cors; /* false: a request with an Origin is refused, and no answer has CORS fields */
	gate_token_fn *token_allows; /* NULL: every request passes */
	void *token_arg;
	/*
	 * After a handover, until an /init was authorised: the token was not carried over, so every
	 * request but /health and /init is refused with 401. NULL: never.
	 */
	bool (*is_closed)(void *arg);
	void *closed_arg;
};

/*
 * Checks a request: true where it may go on to the router, false where it was answered. A
 * server_gate_fn; `arg` is the struct gate.
 */
bool gate_check(struct stream *s, void *arg);

#endif
