/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts the NFS volumes of a sandbox with the image's mount(8), and remembers which are mounted
 * (docs/compatibility/http.md, `volumeMounts`).
 *
 * umount2(2), mkdir(2) and mount(8) can hang for ever if an NFS server does not answer. Therefore
 * each volume is mounted by its own worker, in parallel with the others. After VOLUMES_TIMEOUT_MS
 * the request fails with an error for the volumes that still hang. While a mount at a path hangs,
 * further requests for the path fail at once.
 */
#ifndef ENVD_VOLUMES_H
#define ENVD_VOLUMES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/loop.h"

/* The time limit for all volumes of one request. */
#define VOLUMES_TIMEOUT_MS (10 * 1000)

/*
 * Options of mount(8): NFSv3 over TCP with one port, and without caches, so that the file system
 * survives a pause and a resume.
 */
#define VOLUMES_OPTIONS                                                                            \
	"fg,hard,sync,rsize=1048576,wsize=1048576,mountproto=tcp,mountport=2049,proto=tcp,"        \
	"port=2049,nfsvers=3,noacl,noac,lookupcache=none"

struct init_mount;
struct volumes;

struct volumes *volumes_new(struct loop *loop);

/* Waits for mounts in progress, and frees the object. Accepts NULL. */
void volumes_free(struct volumes *v);

/*
 * Returns true if the path must be mounted, because it is not mounted for this lifecycle. NULL
 * counts as the lifecycle "".
 */
bool volumes_wanted(const struct volumes *v, const char *path, const char *lifecycle);

/* Calls `each` for every mounted path. Both texts are borrowed during the call. */
void volumes_each(const struct volumes *v,
		  void (*each)(void *arg, const char *path, const char *lifecycle), void *arg);

/* Records that the path is mounted for the lifecycle. Copies. */
void volumes_remember(struct volumes *v, const char *path, const char *lifecycle);

/*
 * Mounts the volumes for which volumes_wanted is true. Copies. `done` is called once, from the
 * loop, within VOLUMES_TIMEOUT_MS, with NULL or with the first error; /init sends its text as the
 * response.
 */
void volumes_mount(struct volumes *v, const struct init_mount *mounts, size_t n,
		   const char *lifecycle, void (*done)(void *arg, const struct error *err),
		   void *arg);

#endif
