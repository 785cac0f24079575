/*
 * The daemon's log: one line an event, to stderr (journald reads the "<N>" priorities where
 * stderr is its socket). Payloads, tokens and environment values are never logged.
 *
 *	log_info("listening on %s", name);
 *
 * Safe on any thread, and never waits: a line that stderr has no room for is lost. A sink (log export, -verbose) may be added; it gets every line too.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { /* the numbers are syslog's, RFC 5424 section 6.2.1 */
		 LOG_LEVEL_ERROR = 3,
		 LOG_LEVEL_WARN = 4,
		 LOG_LEVEL_INFO = 6,
		 LOG_LEVEL_DEBUG = 7,
};

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
	do {                                                                                       \
		if (log_enabled(LOG_LEVEL_DEBUG))                                                  \
			log_write(LOG_LEVEL_DEBUG, __VA_ARGS__);                                   \
	} while (0)

/* Lines above this level are dropped; INFO until set. */
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

/* While held, lines are not written to files: their file system is frozen. */
void log_hold_files(bool hold);

/* Whether a line can be written to fd without waiting; for stderr, and for what a sink writes to. */
bool log_can_write(int fd);

/* A line, as a sink gets it. */
struct log_line {
	enum log_level level;
	const char *text;	/* has no newline, and lives for the call */
	const char *event_type; /* what collectors filter by, or NULL */
	uint64_t operation;	/* the number of the request that it belongs to; 0: none */
};

/*
 * What was done for a client, for those who collect the log: it goes to the sink alone, and costs
 * nothing where there is none. `event_type` may be NULL.
 */
void log_operation(uint64_t operation, const char *event_type, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Where lines go besides stderr. NULL removes it. */
typedef void log_sink_fn(const struct log_line *line, void *arg);
void log_set_sink(log_sink_fn *sink, void *arg);

#endif
