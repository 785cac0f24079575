/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the audit stream (base/audit.h), one JSON object per line, to a file or to a unix socket.
 *
 * A worker writes. While it is held up, by a full disk, a frozen file system or a collector that
 * does not read, events wait in a queue. Events that do not fit are counted, and the next line that
 * is written has the number of missing events. Loop only.
 */
#ifndef ENVD_AUDIT_H
#define ENVD_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"

struct audit;
struct router;

/* The maximum number of waiting bytes, including the bytes that the worker is writing. */
#define AUDIT_QUEUE_BYTES (1024u * 1024)

/* A collector that takes no byte for this time is disconnected. */
#define AUDIT_SEND_TIMEOUT_S 5

/*
 * Begins to write to `target` (borrowed): the path of a file, which is created with mode 0600 and
 * appended to; or unix:PATH, a stream socket that a collector listens on, now or later. Becomes the
 * sink of base/audit.h. Called at the start: it may block.
 *
 * 0, or -1 with the reason if the file can't be opened. With `must_start`, a file that can't be
 * opened is logged, and the result is 0: each event tries again to open the file, and counts as
 * lost until that succeeds.
 */
int audit_new(struct loop *loop, const char *target, bool must_start, struct audit **ret,
	      struct error *err);
void audit_free(struct audit *a);

/* Closes the target and opens it again, before the next line, for the rotation of logs. */
void audit_reopen(struct audit *a);

/*
 * Calls `done` when all events until now are written or lost, at the latest after max_ms, perhaps
 * before this function returns. One caller at a time.
 */
void audit_drain(struct audit *a, unsigned max_ms, void (*done)(void *arg), void *arg);

/* POST /audit/reopen: as audit_reopen, and answers when it is done. `a` may be NULL: 501. */
void ctl_audit_register(struct audit *a, struct router *router);

#endif
