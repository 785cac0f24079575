/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit stream: one event for each thing that a client did to the guest. The parts of the
 * daemon report events here; envd/control/audit.h writes them. Events never hold contents of files,
 * input, output, values of variables, or tokens. Loop only.
 *
 *	if (audit_enabled())
 *		audit_event(&(struct audit_event){.name = "file_removed", .request = request,
 *						  LOG_FIELDS(LOG_TEXT("path", path))});
 */
#ifndef BASE_AUDIT_H
#define BASE_AUDIT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/log.h"

/* All pointers are borrowed during the call. */
struct audit_event {
	const char *name;
	struct log_request request;
	const char *asked_by; /* the user that the request names, by HTTP Basic; NULL: none */
	const struct log_field *fields;
	size_t n_fields;
};

typedef void audit_sink_fn(const struct audit_event *event, void *arg);

/* Sets the function that gets the events. NULL, the default: events are not wanted. */
void audit_set_sink(audit_sink_fn *sink, void *arg);

/* Returns true if events are wanted. Call it before building an expensive member. */
bool audit_enabled(void);

void audit_event(const struct audit_event *event);

#endif
