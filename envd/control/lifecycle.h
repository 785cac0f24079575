/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's actions in the guest at a resume and before a freeze.
 *
 * An authorised /init with another lifecycleID than before begins a generation: the sandbox was
 * resumed, or is a clone. Before the workload is thawed, the kernel's random generator is reseeded
 * and /run/e2b/generation is replaced; after the thaw the hooks in post-thaw/ run. Before a freeze
 * the hooks in pre-freeze/ run.
 *
 * All of it runs on workers. A failure is a line in the log. Loop only.
 */
#ifndef ENVD_LIFECYCLE_H
#define ENVD_LIFECYCLE_H

#include <stdint.h>

#include "base/loop.h"

struct lifecycle;

#define LIFECYCLE_HOOKS_DIR	  "/etc/envd/hooks.d"
#define LIFECYCLE_HOOK_TIMEOUT_S  1
#define LIFECYCLE_GENERATION_FILE "generation" /* in RUN_FILES_DIRECTORY */

/* The maximum time that an /init waits for the reseed and the file. */
#define LIFECYCLE_BEGIN_MS 1000

/*
 * The maximum number of hooks of one kind, and the maximum time of all of them together, as a
 * multiple of the timeout of one hook.
 */
#define LIFECYCLE_MAX_HOOKS	32
#define LIFECYCLE_HOOK_TIMEOUTS 8

/* A longer lifecycleID is cut. Characters other than visible ASCII become '_'. */
#define LIFECYCLE_ID_BYTES 256

struct lifecycle *lifecycle_new(struct loop *loop);

/* Waits for running work and frees it. Precondition: no freeze and no /init waits. Accepts NULL. */
void lifecycle_free(struct lifecycle *l);

/* Sets the directory of hooks (borrowed) and the time that each may take. */
void lifecycle_set_hooks(struct lifecycle *l, const char *directory, unsigned timeout_ms);

/*
 * An /init named a lifecycle (NULL or "": none). Calls `done` once, in LIFECYCLE_BEGIN_MS at the
 * latest, perhaps before it returns. `secret` is mixed into the random generator. Copies the texts.
 * While the worker is blocked, the newest generation waits, and begins when the worker is free.
 */
void lifecycle_begin(struct lifecycle *l, const char *id, const char *secret,
		     void (*done)(void *arg), void *arg);

/*
 * Call it when the workload was thawed. Runs the post-thaw hooks once for each generation. If a
 * newer generation is waiting, they run once, for the newer one.
 */
void lifecycle_thawed(struct lifecycle *l);

/*
 * Runs the pre-freeze hooks, then calls `done` with the same number: after LIFECYCLE_HOOK_TIMEOUTS
 * timeouts at the latest, perhaps before this function returns.
 */
void lifecycle_before_freeze(struct lifecycle *l, uint64_t number,
			     void (*done)(void *arg, uint64_t number), void *arg);

#endif
