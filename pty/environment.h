/* SPDX-License-Identifier: Apache-2.0 */
/* Builds the environment of a process (compatibility/processes). */
#ifndef PTY_ENVIRONMENT_H
#define PTY_ENVIRONMENT_H

#include "base/arena.h"
#include "base/user.h"
#include "process.pb-c.h"

struct env_var;
struct log_request;

/*
 * Returns the variables as "NAME=VALUE" in the arena, NULL-terminated. In the order of precedence,
 * lowest first: PATH (the daemon's), HOME, USER, LOGNAME, the global ones, the request's, PWD.
 *
 * TRACEPARENT and TRACESTATE come from the trace context of the request (NULL: it has none) and
 * replace global ones, unless `config` has a TRACEPARENT of its own: the two belong together
 * (OpenTelemetry specification, "Environment Variables as Context Propagation Carriers").
 *
 * A name ends at the first `=`. *ret_path is the value of PATH, or NULL; *ret_pwd is the element
 * with PWD. Any thread.
 */
char **environment_new(const struct env_var *globals, size_t n_globals, const struct user *user,
		       const struct log_request *request, const Process__ProcessConfig *config,
		       const char *cwd, struct arena *arena, const char **ret_path,
		       char ***ret_pwd);

#endif
