/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /upgrade: replaces the daemon while its processes go on.
 *
 * Not implemented yet: every request is refused before its body is read, so an orchestrator counts
 * the delivery as failed and keeps using this daemon. The checks before that, with their statuses and
 * plain texts, are the reference's (compatibility/http, "POST /upgrade").
 */
#include <string.h>

#include "envd/control/control.h"
#include "rpc/http/router.h"
#include "rpc/http/stream.h"

#define UPGRADE_TARGET "/usr/bin/envd.next"

static void refuse(struct stream *s, unsigned status, const char *text)
{
	stream_header(s, "X-Content-Type-Options", "nosniff");
	stream_reply(s, status, "text/plain; charset=utf-8", text, strlen(text));
}

static void upgrade(struct stream *s, void *arg)
{
	const struct control *c = arg;
	const char *target = stream_header_in(s, "x-envd-upgrade-bin");

	if (!c->initialized)
		refuse(s, 409, "envd not initialized\n");
	else if (target && *target && strcmp(target, UPGRADE_TARGET) != 0)
		refuse(s, 400, "unsupported upgrade target\n");
	else
		refuse(s, 501, "this envd does not support live upgrades\n");
}

void ctl_upgrade_register(struct control *c, struct router *router)
{
	router_add(router, "POST", "/upgrade", upgrade, c);
}
