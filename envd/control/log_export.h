/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log for the platform: one JSON object for each line, posted to the collector whose address
 * the metadata service gives, one request each (docs/compatibility/http.md, "MMDS"). Besides the
 * members of the line (base/log.h) an object has timestamp, level, logger, message, instanceID and
 * envID.
 */
#ifndef ENVD_LOG_EXPORT_H
#define ENVD_LOG_EXPORT_H

#include <stdbool.h>

#include "base/log.h"
#include "base/loop.h"

/* Bound of the queue, counted as allocated memory. When it is full the oldest lines are dropped. */
#define LOG_EXPORT_QUEUE_BYTES (8u * 1024 * 1024)
/* A longer line is dropped. */
#define LOG_EXPORT_LINE_BYTES (192u * 1024)
/* One request to the collector. */
#define LOG_EXPORT_TIMEOUT_MS (10 * 1000)

struct log_export;

struct log_export *log_export_new(struct loop *loop);
void log_export_free(struct log_export *x);

/* The collector, and the names that each line gets. Until then lines are queued. Copies. */
void log_export_set_target(struct log_export *x, const char *address, const char *instance_id,
			   const char *env_id);

/* A log_sink_fn: queues a line. Safe on any thread. */
void log_export_line(const struct log_line *said, void *arg);

/*
 * Sends the queued lines for at most `max_ms`, then drops those that are left; 0 drops them at
 * once. A request that is under way goes on. `done` comes once, perhaps from inside the call;
 * `complete`: every line was sent. Several flushes may run at a time.
 */
void log_export_flush(struct log_export *x, unsigned max_ms, void (*done)(void *arg, bool complete),
		      void *arg);

/* Lines that were dropped since the start. */
unsigned long long log_export_dropped(const struct log_export *x);

/*
 * A line as JSON, without the two names that are added when it is sent: also what -verbose writes.
 * Returns owned text with a newline.
 */
char *log_export_format(const struct log_line *line);

#endif
