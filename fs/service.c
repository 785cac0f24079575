/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/service.h"

#include <stdlib.h>

#include "base/mem.h"
#include "fs/service_impl.h"
#include "rpc/http/router.h"

struct fs_service *fs_service_new(struct context *context, const struct fs_auth *auth)
{
	struct fs_service *svc = mem_zalloc(sizeof(*svc));

	svc->context = context;
	if (auth)
		svc->auth = *auth;
	return svc;
}

void fs_service_set_keep_owner(struct fs_service *svc, bool keep)
{
	svc->keep_owner = keep;
}

void fs_service_free(struct fs_service *svc)
{
	free(svc);
}

void fs_service_register(struct fs_service *svc, struct router *router)
{
	rpc_register(router, &fs_rpc_stat, 1, svc);
	rpc_register(router, &fs_rpc_make_dir, 1, svc);
	rpc_register(router, &fs_rpc_move, 1, svc);
	rpc_register(router, &fs_rpc_list_dir, 1, svc);
	rpc_register(router, &fs_rpc_remove, 1, svc);
	router_add(router, "GET", "/files", fs_download_open, svc);
	router_add(router, "HEAD", "/files", fs_download_open, svc);
	router_add(router, "POST", "/files", fs_upload_open, svc);
	router_add(router, "POST", "/files/compose", fs_compose_open, svc);
}
