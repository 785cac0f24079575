/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate: what every request meets before the router. In this order (details 1): cross-origin
 * rules and preflights, the access token, the user of HTTP Basic.
 */
#ifndef ENVD_GATE_H
#define ENVD_GATE_H

#include <stdbool.h>

struct context;
struct stream;

/* Whether the request may pass as far as the token is concerned: envd/control/auth.c. NULL: all may. */
typedef bool gate_token_fn(const struct stream *s, void *arg);

struct gate {
	struct context *context;
	bool cors; /* false: whatever has an Origin is refused, and no CORS field is sent */
	gate_token_fn *token_allows;
	void *token_arg;
};

/* A server_gate_fn; `arg` is the struct gate. */
bool gate_check(struct stream *s, void *arg);

#endif
