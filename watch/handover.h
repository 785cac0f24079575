/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passes polled watchers from one daemon to the next one under the same pid (POST /upgrade).
 * WatchDir streams end with their connections and are not passed on.
 */
#ifndef WATCH_HANDOVER_H
#define WATCH_HANDOVER_H

#include <stdbool.h>

#include "base/arena.h"
#include "handover.pb-c.h"

struct watch_service;

/* Adds every polled watcher and its waiting events to the state. All memory lies in the arena. */
void watch_handover_export(const struct watch_service *svc, struct arena *arena,
			   Handover__HandoverState *state);

struct watch_adopted {
	unsigned watchers, failed;
};

/*
 * Recreates the watchers with their ids and waiting events. Workers look up the directories.
 * Returns true if some are in progress: then `done` is called from the loop when the last one has
 * ended, and *ret is complete after watch_handover_finish. Returns false if none is in progress.
 */
bool watch_handover_adopt(struct watch_service *svc, const Handover__HandoverState *state,
			  struct watch_adopted *ret, void (*done)(void *arg), void *arg);

/*
 * Counts the watchers that were recreated. Those still in progress count as failed, and `done` will
 * not be called.
 */
void watch_handover_finish(struct watch_service *svc, struct watch_adopted *ret);

#endif
