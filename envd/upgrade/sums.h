/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The counters of GET /metrics over a live upgrade. Without them, every upgrade would look like a
 * restart to a collector, which then counts the same requests and starts from 0 again.
 */
#ifndef ENVD_UPGRADE_SUMS_H
#define ENVD_UPGRADE_SUMS_H

#include "base/arena.h"
#include "handover.pb-c.h"

struct control;
struct pty_service;

/* Returns the counters, in the arena. */
Handover__Sums *sums_export(const struct control *control, struct arena *arena);

/* Adds the counters of the daemon before this one. NULL, from another version: adds nothing. */
void sums_add(struct control *control, struct pty_service *pty, const Handover__Sums *sums);

#endif
