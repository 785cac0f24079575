/*
 * The NFS volumes of a sandbox: http.md, `volumeMounts`.
 */
#ifndef ENVD_MOUNTS_H
#define ENVD_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* All mounts of one request together. */
#define MOUNTS_TIMEOUT_MS (10 * 1000)

/* NFSv3 over TCP, all on one port, uncached so that a pause and a resume go unnoticed. */
#define MOUNTS_OPTIONS                                                                             \
	"fg,hard,sync,rsize=1048576,wsize=1048576,mountproto=tcp,mountport=2049,proto=tcp,"        \
	"port=2049,nfsvers=3,noacl,noac,lookupcache=none"

/* What was mounted where, and for which life of the sandbox. */
struct mounts;

struct mounts *mounts_new(void);
void mounts_free(struct mounts *m);

/* Whether the path is to be mounted for that lifecycle (NULL counts as ""): it is not, or for
 * another one. */
bool mounts_wanted(const struct mounts *m, const char *path, const char *lifecycle);

/* Calls `each` for every remembered mount; both texts are borrowed for the call. */
void mounts_each(const struct mounts *m,
		 void (*each)(void *arg, const char *path, const char *lifecycle), void *arg);

/* Remembers a mount. */
void mounts_remember(struct mounts *m, const char *path, const char *lifecycle);

/*
 * Unmounts what is at the path (by force, then lazily) and mounts the volume, by the image's
 * mount(8). 0, or -1 with what /init answers. Blocks for up to timeout_ms: for workers.
 */
int mounts_mount(const char *nfs_target, const char *path, unsigned timeout_ms, struct error *err);

#endif
