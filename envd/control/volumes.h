/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NFS volumes of a sandbox (docs/compatibility/http.md, `volumeMounts`): which are mounted, and
 * mounting them by the image's mount(8).
 *
 * A server that does not answer can hang umount2, mkdir and mount for good. So each volume has a
 * worker of its own, all volumes of a request are mounted at once, and after VOLUMES_TIMEOUT_MS the
 * request goes on without those that still hang. While one hangs, its path is not tried again.
 */
#ifndef ENVD_VOLUMES_H
#define ENVD_VOLUMES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/loop.h"

/* All volumes of one request together. */
#define VOLUMES_TIMEOUT_MS (10 * 1000)

/*
 * NFSv3 over TCP, all on one port; uncached, so that the file system survives a pause and a resume.
 */
#define VOLUMES_OPTIONS                                                                            \
	"fg,hard,sync,rsize=1048576,wsize=1048576,mountproto=tcp,mountport=2049,proto=tcp,"        \
	"port=2049,nfsvers=3,noacl,noac,lookupcache=none"

struct init_mount;
struct volumes;

struct volumes *volumes_new(struct loop *loop);

/* Waits for mounts that are under way. */
void volumes_free(struct volumes *v);

/* Whether the path has to be mounted: it is not mounted for this lifecycle (NULL counts as ""). */
bool volumes_wanted(const struct volumes *v, const char *path, const char *lifecycle);

/* Calls `each` for every path that is mounted. Both texts are borrowed for the call. */
void volumes_each(const struct volumes *v,
		  void (*each)(void *arg, const char *path, const char *lifecycle), void *arg);

/* Notes that the path is mounted for the lifecycle. */
void volumes_remember(struct volumes *v, const char *path, const char *lifecycle);

/*
 * Mounts those of the n volumes that volumes_wanted names. Copies. `done` comes once, from the
 * loop, within VOLUMES_TIMEOUT_MS: with NULL, or with the first error (its text is what /init
 * answers).
 */
void volumes_mount(struct volumes *v, const struct init_mount *mounts, size_t n,
		   const char *lifecycle, void (*done)(void *arg, const struct error *err),
		   void *arg);

#endif
