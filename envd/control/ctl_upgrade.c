/* POST /upgrade: live upgrade is no part of this version, and says so (details 28). */
#include <string.h>

#include "envd/control/control.h"
#include "rpc/http/router.h"
#include "rpc/http/stream.h"

#define UPGRADE_PATH "/usr/bin/envd"

static void upgrade(struct stream *s, void *arg)
{
	const struct control *c = arg;
	const char *path = stream_header_in(s, "x-envd-upgrade-bin");

	if (!c->initialized)
		stream_reply_error(s, 409, "envd not initialized");
	else if (path && strcmp(path, UPGRADE_PATH) != 0)
		stream_reply_error(s, 400, "X-Envd-Upgrade-Bin must be " UPGRADE_PATH);
	else
		stream_reply_error(s, 501, "this envd does not support live upgrades");
}

void ctl_upgrade_register(struct control *c, struct router *router)
{
	router_add(router, "POST", "/upgrade", upgrade, c);
}
