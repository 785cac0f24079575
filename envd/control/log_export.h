/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exports the daemon's log to the platform's collector: one POST request with one JSON object for
 * each line. The metadata service provides the collector's address (docs/compatibility/http.md,
 * "MMDS"). The object has the members of the line (base/log.h), and timestamp, level, logger,
 * message, instanceID and envID.
 */
#ifndef ENVD_LOG_EXPORT_H
#define ENVD_LOG_EXPORT_H

#include <stdbool.h>

#include "base/log.h"
#include "base/loop.h"

/* The maximum memory of the queue. If a line does not fit, the oldest lines are dropped. */
#define LOG_EXPORT_QUEUE_BYTES (8u * 1024 * 1024)
/* The maximum size of a line as JSON. A longer line is dropped. */
#define LOG_EXPORT_LINE_BYTES (192u * 1024)
/* The timeout of one request to the collector. */
#define LOG_EXPORT_TIMEOUT_MS (10 * 1000)

struct log_export;

struct log_export *log_export_new(struct loop *loop);
void log_export_free(struct log_export *x);

/*
 * Sets the collector's address and the two names that are added to each line. Until then lines are
 * queued. Copies. An address that is not a numeric http:// URL is logged and ignored.
 */
void log_export_set_target(struct log_export *x, const char *address, const char *instance_id,
			   const char *env_id);

/* Queues a line. This is a log_sink_fn; `arg` is the struct log_export. Any thread. */
void log_export_line(const struct log_line *line, void *arg);

/*
 * Sends the queued lines for at most max_ms, then drops the remaining ones; 0 drops them at once. A
 * request that has begun is not cancelled. `done` is called once, perhaps before this function
 * returns; `complete` is true if no line was dropped. Several flushes may run at the same time.
 */
void log_export_flush(struct log_export *x, unsigned max_ms, void (*done)(void *arg, bool complete),
		      void *arg);

/* Returns the number of lines that were dropped or not delivered since the start. */
unsigned long long log_export_dropped(const struct log_export *x);

/* Adds the lines that an earlier daemon dropped, which the log has reported already. */
void log_export_add_dropped(struct log_export *x, unsigned long long n);

/*
 * Formats a line as JSON with a newline, without the two names of log_export_set_target. -verbose
 * writes this form too. Returns an owned text.
 */
char *log_export_format(const struct log_line *line);

/* Writes members of a line into an object. */
struct json_writer;
void log_export_put_fields(struct json_writer *out, const struct log_field *fields, size_t n);

#endif
