#include "envd/control/ctl_health.h"

#include <stddef.h>

#include "rpc/http/router.h"
#include "rpc/http/stream.h"

static void health(struct stream *s, void *arg)
{
	stream_set_quiet(s);
	stream_header(s, "Cache-Control", "no-store");
	stream_reply(s, 204, NULL, NULL, 0);
}

void ctl_health_register(struct router *router)
{
	router_add(router, "GET", "/health", health, NULL);
}
