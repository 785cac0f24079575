/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trace context of a request: its fields traceparent and tracestate (W3C Recommendation "Trace
 * Context", 23 November 2021, sections 3.2 and 3.3). The daemon opens no span of its own: it passes
 * the caller's span on to the log and to the processes that the request starts.
 */
#ifndef RPC_HTTP_TRACE_H
#define RPC_HTTP_TRACE_H

struct arena;
struct http_head;
struct log_request;

/* A longer tracestate is ignored. Section 3.3.1.5: pass on at least this many characters. */
#define TRACE_STATE_MAX_BYTES 512

/*
 * Sets ret->traceparent and ret->tracestate; the texts lie in the arena. Both are NULL if the
 * request has no traceparent, several, or one that violates the grammar. tracestate alone is NULL
 * if it violates the grammar, has more than 32 members, or one key twice.
 *
 * ret->traceparent is always of version 00. Of a later version, only the fields that version 00 has
 * are kept (section 3.2.4). tracestate is one list, without white space between its members.
 */
void trace_read(const struct http_head *head, struct arena *arena, struct log_request *ret);

#endif
