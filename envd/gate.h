/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate: the checks of every request before the router, in this order (compatibility/details 1):
 * cross-origin rules and preflights, the access token, headers of extensions that come twice, the
 * user of HTTP Basic.
 */
#ifndef ENVD_GATE_H
#define ENVD_GATE_H

#include <stdbool.h>

struct context;
struct stream;

/* Returns true if the access token lets the request pass: auth_allows (envd/control/auth.h). */
typedef bool gate_token_fn(const struct stream *s, void *arg);

struct gate {
	struct context *context;
	bool cors; /* false: a request with an Origin is refused, and no answer has CORS fields */
	gate_token_fn *token_allows; /* NULL: every request passes */
	void *token_arg;
	/*
	 * Returns true after a handover until an /init is authorised: every request except /health
	 * and /init is refused with 401, because the token was not passed on. NULL: never.
	 */
	bool (*is_closed)(void *arg);
	void *closed_arg;
};

/*
 * Checks a request. Returns true if the router may handle it, false if the gate has answered it.
 * This is a server_gate_fn; `arg` is the struct gate.
 */
bool gate_check(struct stream *s, void *arg);

#endif
