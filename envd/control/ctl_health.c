/* SPDX-License-Identifier: Apache-2.0 */
/* GET and HEAD /health: answers 204. These requests are not logged. */
#include "envd/control/ctl_health.h"

#include <stddef.h>

#include "base/mem.h"
#include "rpc/http/router.h"
#include "rpc/http/stream.h"

static void health(struct stream *s, void *arg);

/* `curl -I` and `wget --spider` send HEAD. */
static const char *const methods[] = {"GET", "HEAD"};

void ctl_health_register(struct router *router)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(methods); i++)
		router_add(router, methods[i], "/health", health, NULL);
}

static void health(struct stream *s, void *arg)
{
	stream_set_quiet(s);
	stream_header(s, "Cache-Control", "no-store");
	stream_reply(s, 204, NULL, NULL, 0);
}
