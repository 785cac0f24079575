/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Live upgrade, the incoming side. With -resume-handover, this program has just replaced another
 * daemon under the same pid. It takes over the processes that the other daemon has described in
 * HANDOVER_BLOB (docs/compatibility/upgrade.md).
 *
 *	handover_read ─► (the daemon builds its services) ─► handover_adopt ─► serve
 *
 * Until the first authorised /init the gate refuses everything but /health and /init, and the
 * workload stays frozen. If no /init comes for a time (HANDOVER_THAW_S, or -upgrade-thaw), the
 * workload is thawed, and the gate stays closed.
 */
#ifndef ENVD_UPGRADE_HANDOVER_H
#define ENVD_UPGRADE_HANDOVER_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/loop.h"
#include "handover.pb-c.h"

struct control;
struct inherited;
struct pty_service;
struct watch_service;

#define HANDOVER_BLOB "/run/e2b/envd-handover.pb"

/* The handover fails if the file is larger. Most of a large file is kept output. */
#define HANDOVER_MAX_BYTES (512u * 1024 * 1024)

/* The newest schema that handover_read understands. */
#define HANDOVER_SCHEMA 3

/* The default of the time after which the workload is thawed without an /init. */
#define HANDOVER_THAW_S 60

/* Watchers are set up before the daemon serves, but no longer than this. */
#define HANDOVER_WATCH_MS 2000

/* The value of X-Envd-Handover. */
#define HANDOVER_REPORT_BYTES 256

struct handover {
	struct arena arena;
	Handover__HandoverState *state; /* in the arena; NULL: there was no file, or it failed */
	bool failed;
	char report[HANDOVER_REPORT_BYTES];
	struct control *control;
	struct loop *loop;
	unsigned thaw_s; /* after this time the workload is thawed without an /init */
	struct timer thaw;
	struct timer watch_limit;
};

/*
 * Reads and removes the file, and closes every inherited descriptor that neither the file nor
 * `inherited` names. Call it before the daemon opens a descriptor, which would be closed, too.
 */
void handover_read(struct handover *h, const char *blob_path, const struct inherited *inherited);

/* Cancels the thaw, and frees what was read. */
void handover_clear(struct handover *h);

/*
 * Adopts what was read, before the daemon listens. The control API must have its freezer and
 * services. Runs the loop until the watchers are set up, for HANDOVER_WATCH_MS at most. If no /init
 * comes, the workload is thawed after thaw_s.
 */
void handover_adopt(struct handover *h, struct loop *loop, struct control *control,
		    struct pty_service *pty, struct watch_service *watch, unsigned thaw_s);

/* Decodes n bytes of a file into the arena. 0, or -1 with the reason. Public for a fuzz target. */
int handover_decode(const void *p, size_t n, struct arena *arena, Handover__HandoverState **ret,
		    struct error *err);

#endif
