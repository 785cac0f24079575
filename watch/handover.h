/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Polled watchers on their way from one daemon to the next one under the same pid (POST /upgrade).
 * Streams of WatchDir end with their connections and are not carried.
 */
#ifndef WATCH_HANDOVER_H
#define WATCH_HANDOVER_H

#include <stdbool.h>

#include "base/arena.h"
#include "handover.pb-c.h"

struct watch_service;

/* Adds every polled watcher with the events that wait for it. Everything lies in the arena. */
void watch_handover_export(const struct watch_service *svc, struct arena *arena,
			   Handover__HandoverState *state);

struct watch_adopted {
	unsigned watchers, failed;
};

/*
 * Makes the watchers again, under their ids, with the events that waited. Workers look for the
 * directories: true if some are at work; then `done` comes from the loop when the last one is over,
 * and *ret is complete after watch_handover_finish. False if there is nothing to wait for.
 */
bool watch_handover_adopt(struct watch_service *svc, const Handover__HandoverState *state,
			  struct watch_adopted *ret, void (*done)(void *arg), void *arg);

/*
 * Counts the watchers that were set up. Those still at work count as failed, and `done` comes no
 * more.
 */
void watch_handover_finish(struct watch_service *svc, struct watch_adopted *ret);

#endif
