/* SPDX-License-Identifier: Apache-2.0 */
/* GET /envs: answers with the global environment variables. */
#include <stddef.h>

#include "base/log.h"
#include "envd/control/control.h"
#include "rpc/codec/json.h"
#include "rpc/http/router.h"
#include "rpc/http/stream.h"

static void envs(struct stream *s, void *arg);

void ctl_envs_register(struct control *c, struct router *router)
{
	router_add(router, "GET", "/envs", envs, c);
}

static void envs(struct stream *s, void *arg)
{
	const struct control *c = arg;
	struct json_writer out;
	size_t i;

	log_event(&(struct log_line){.level = LOG_LEVEL_DEBUG, .request = stream_log_request(s)},
		  "Getting env vars");
	json_writer_init(&out, 0, 256);
	json_put_object(&out);
	for (i = 0; i < c->context->n_env; i++) {
		json_put_name(&out, c->context->env[i].name);
		json_put_string(&out, c->context->env[i].value);
	}
	json_put_object_end(&out);
	json_append(&out, "\n", 1);
	stream_header(s, "Cache-Control", "no-store");
	stream_reply(s, 200, "application/json", out.data, out.n);
	json_writer_clear(&out);
}
