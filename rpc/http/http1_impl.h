/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the files of the HTTP/1.1 engine: http1.c has the states and the requests,
 * http1_response.c the responses.
 */
#ifndef RPC_HTTP_HTTP1_IMPL_H
#define RPC_HTTP_HTTP1_IMPL_H

#include "rpc/http/http1.h"

struct stream_transport;

/* The only writer of h->state. */
void http1_set_state(struct http1 *h, enum http1_state state);

/* Raises the ending; a lower value has no effect. */
void http1_raise_ending(struct http1 *h, enum http1_ending ending);

/*
 * Stops all writing. The handler, which owns the descriptor of the file, may close it from now on.
 */
void http1_break(struct http1 *h);

void http1_wake(struct http1 *h);

/* The transport of the streams of a connection. */
extern const struct stream_transport http1_transport;

#endif
