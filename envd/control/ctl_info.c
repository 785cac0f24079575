/* SPDX-License-Identifier: Apache-2.0 */
/* GET /info: the version of the daemon, what it can do, and its defaults. For an operator. */
#include <time.h>

#include "base/loop.h"
#include "base/mem.h"
#include "envd/control/control.h"
#include "envd/version.h"
#include "rpc/codec/json.h"
#include "rpc/http/router.h"
#include "rpc/http/stream.h"

static void info(struct stream *s, void *arg);

void ctl_info_register(struct control *c, struct router *router)
{
	router_add(router, "GET", "/info", info, c);
}

/* The request headers by which a client asks for an extension. */
static const char *const extensions[] = {
	"X-Envd-Atomic",   "X-Envd-End",	 "X-Envd-Explain-End", "X-Envd-From",
	"X-Envd-Keep-For", "X-Envd-Keep-Output", "X-Envd-Kill-Scope",  "X-Envd-Limits",
	"X-Envd-Seccomp",  "X-Envd-Start-Key",	 "X-Envd-Sync",	       "X-Envd-Watch",
};

static void put_string(struct json_writer *out, const char *name, const char *value)
{
	json_put_name(out, name);
	json_put_string(out, value);
}

static void put_seconds(struct json_writer *out, const char *name, uint64_t seconds)
{
	json_put_name(out, name);
	json_put_uint(out, seconds);
}

static void put_bool(struct json_writer *out, const char *name, bool value)
{
	json_put_name(out, name);
	json_put_bool(out, value);
}

static void info(struct stream *s, void *arg)
{
	const struct control *c = arg;
	struct json_writer out;
	struct timespec up;

	clock_gettime(CLOCK_BOOTTIME, &up);
	json_writer_init(&out, 0, 1024);
	json_put_object(&out);
	put_string(&out, "build", version_build());
	put_string(&out, "version", version_reported());
	put_string(&out, "commit", version_commit());
	put_seconds(&out, "upSeconds", (uint64_t)up.tv_sec);
	put_seconds(&out, "daemonSeconds", (clock_monotonic_ms() - c->started_ms) / 1000);
	put_string(&out, "defaultUser", c->context->default_user);
	if (c->context->default_workdir)
		put_string(&out, "defaultWorkdir", c->context->default_workdir);
	put_bool(&out, "initialized", c->initialized);
	put_bool(&out, "firecracker", !c->is_not_fc);
	put_bool(&out, "cgroups", c->has_cgroups);
	json_put_name(&out, "extensions");
	json_put_array(&out);
	for (size_t i = 0; i < ARRAY_LEN(extensions); i++)
		json_put_string(&out, extensions[i]);
	json_put_array_end(&out);
	json_put_object_end(&out);
	json_append(&out, "\n", 1);
	stream_header(s, "Cache-Control", "no-store");
	stream_reply(s, 200, "application/json", out.data, out.n);
	json_writer_clear(&out);
}
