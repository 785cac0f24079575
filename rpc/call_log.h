/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lines of an RPC in the log (docs/compatibility/http, "Log export"). They go to the log's sink
 * alone; without a sink nothing is formatted.
 */
#ifndef RPC_CALL_LOG_H
#define RPC_CALL_LOG_H

#include "rpc/call.h"

/* The call was opened with this request (NULL: RPC_CLIENT_STREAM). Borrows it until the end. */
void rpc_log_open(struct rpc_call *call, const ProtobufCMessage *request);

/*
 * The call ended well. `response` is NULL for a server stream, and for an answer that the service
 * has encoded itself. In the second case the line has `encoded_bytes`, the length of the answer.
 */
void rpc_log_reply(struct rpc_call *call, const ProtobufCMessage *response, size_t encoded_bytes);

/* The call ended with an error, whose text is the error's code name and message. */
void rpc_log_failure(struct rpc_call *call, const struct error *err);

/* The client disconnected, or the call's deadline passed. */
void rpc_log_cancel(struct rpc_call *call, enum rpc_cancel why);

#endif
