/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file service: filesystem.Filesystem (but for its watches, see watch/) and the HTTP API
 * /files and /files/compose.
 */
#ifndef FS_SERVICE_H
#define FS_SERVICE_H

#include <stdbool.h>
#include <stddef.h>

struct router;
struct context;
struct fs_service;

/*
 * The access token, which /files needs for its signatures. `token` returns it, borrowed for the
 * moment, with its length; NULL while none is set.
 */
struct fs_auth {
	const char *(*token)(void *arg, size_t *ret_bytes);
	void *arg;
};

/* Borrows `context`; copies `auth`, which may be NULL: no token is ever set. */
struct fs_service *fs_service_new(struct context *context, const struct fs_auth *auth);
void fs_service_free(struct fs_service *svc);

/*
 * Whether an upload without `username` leaves an existing file with its owner. By default it gives
 * the file to the default user, as the reference does.
 */
void fs_service_set_keep_owner(struct fs_service *svc, bool keep);

/* Adds the methods and endpoints. The service must outlive the router. */
void fs_service_register(struct fs_service *svc, struct router *router);

#endif
