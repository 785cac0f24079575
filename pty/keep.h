/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The headers for a reader of kept output (docs/processes.md). The request of a Connect:
 *
 *	X-Envd-From: stdout=N, stderr=N | pty=N | start
 *
 * and two response headers: X-Envd-Offsets, the offset at which each output of the stream begins,
 * and X-Envd-Written, the number of bytes that the process has written to each output so far.
 * Stock clients do not send the request header.
 */
#ifndef PTY_KEEP_H
#define PTY_KEEP_H

#include "base/error.h"
#include "pty/kept.h"
#include "rpc/call.h"

/* The offsets at which a reader wants each output to begin. */
struct keep_from {
	bool asked;
	uint64_t from[OUTPUT_KINDS];
};

/*
 * Parses X-Envd-From, if the request has it. `total` is the number of bytes that the process has
 * written to each output. An output that the header does not name begins at its current end. 0, or
 * -1: ERROR_INVALID_ARGUMENT, or ERROR_OUT_OF_RANGE for an offset after the end.
 */
int keep_parse_from(const struct rpc_call *call, bool is_pty, const uint64_t total[OUTPUT_KINDS],
		    struct keep_from *ret, struct error *err);

/* Adds the two headers to the response. `kept` is NULL if the process keeps no output. */
void keep_tell_offsets(struct rpc_call *call, bool is_pty, const struct kept *kept,
		       const uint64_t total[OUTPUT_KINDS], const struct keep_from *from);

#endif
