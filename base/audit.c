/* SPDX-License-Identifier: Apache-2.0 */
#include "base/audit.h"

static audit_sink_fn *sink_fn;
static void *sink_arg;

void audit_set_sink(audit_sink_fn *sink, void *arg)
{
	sink_fn = sink;
	sink_arg = arg;
}

bool audit_enabled(void)
{
	return sink_fn != NULL;
}

void audit_event(const struct audit_event *event)
{
	if (sink_fn)
		sink_fn(event, sink_arg);
}
