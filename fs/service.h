/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file service: the methods of filesystem.Filesystem except the watches (see watch/), and the
 * HTTP endpoints /files and /files/compose.
 */
#ifndef FS_SERVICE_H
#define FS_SERVICE_H

#include <stdbool.h>
#include <stddef.h>

struct router;
struct context;
struct fs_service;

/*
 * Gives the service the access token, with which /files checks signatures. `token` returns the
 * token and its length, or NULL if no token is set. The token is borrowed until the caller returns
 * to the loop.
 */
struct fs_auth {
	const char *(*token)(void *arg, size_t *ret_bytes);
	void *arg;
};

/* Borrows `context`; copies `auth`, which may be NULL: no token is ever set. */
struct fs_service *fs_service_new(struct context *context, const struct fs_auth *auth);
void fs_service_free(struct fs_service *svc);

/*
 * Sets whether an upload without `username` keeps the owner of an existing file. By default the
 * upload gives the file to the default user, as the reference does.
 */
void fs_service_set_keep_owner(struct fs_service *svc, bool keep);

/* Adds the methods and endpoints. The service must outlive the router. */
void fs_service_register(struct fs_service *svc, struct router *router);

#endif
