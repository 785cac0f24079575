/*
 * The log for the platform: one JSON object a line, posted to the collector whose address the
 * metadata service gives, one request each (http.md, "MMDS"). The field names are those that
 * collectors read: timestamp, level, logger, message, event_type, operation_id, instanceID, envID.
 */
#ifndef ENVD_LOG_EXPORT_H
#define ENVD_LOG_EXPORT_H

#include "base/log.h"
#include "base/loop.h"

/* What waits for the collector. When it is full the oldest lines go. */
#define LOG_EXPORT_QUEUE_BYTES (8u * 1024 * 1024)
#define LOG_EXPORT_LINE_BYTES  (192u * 1024)
#define LOG_EXPORT_TIMEOUT_MS  (10 * 1000)

struct log_export;

struct log_export *log_export_new(struct loop *loop);
void log_export_free(struct log_export *x);

/* Where to, and in whose name. Until then lines are queued. Copies. */
void log_export_set_target(struct log_export *x, const char *address, const char *instance_id,
			   const char *env_id);

/* A log_sink_fn: queues a line. Safe on any thread. */
void log_export_line(const struct log_line *said, void *arg);

/* Lines that were dropped since the start. */
unsigned long long log_export_dropped(const struct log_export *x);

/*
 * A line as JSON, without the two names that are added when it is sent: also what -verbose writes.
 * Returns owned text with a newline.
 */
char *log_export_format(const struct log_line *line);

#endif
