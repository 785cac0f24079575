/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request headers of a Start that change the process it starts (docs/processes.md):
 *
 *	X-Envd-Kill-Scope, X-Envd-End, X-Envd-Limits, X-Envd-Seccomp,
 *	X-Envd-Keep-Output, X-Envd-Keep-For
 *
 * Stock clients send none of them. They are part of the request that X-Envd-Start-Key compares.
 * X-Envd-Explain-End is not among them, because it changes the stream of the reader that sends it;
 * nor are traceparent and tracestate, because each attempt of a client may have its own.
 */
#ifndef PTY_START_OPTIONS_H
#define PTY_START_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "pty/kill.h"
#include "pty/limits.h"
#include "rpc/call.h"

#define KEEP_FOR_MAX_S 86400

struct pty_service;

struct start_options {
	enum kill_scope scope;
	bool ends_with_leader;
	struct limits limits;
	const char *seccomp;	  /* seccomp_profiles_choose; borrowed from the call */
	size_t keep_output_bytes; /* 0: keep no output */
	uint64_t keep_for_ms;	  /* 0: the default for all exits */
};

/*
 * Parses the headers. An option without a header has the daemon's default. A process of the
 * platform (is_system) gets no default limits. 0, or -1 with an error that names the header.
 */
int start_options_parse(const struct rpc_call *call, const struct pty_service *svc, bool is_system,
			struct start_options *ret, struct error *err);

/* Returns the name of the i-th header, in lower case; NULL after the last one. */
const char *start_options_header(size_t i);

#endif
