/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's log: writes one line for each event to stderr. If stderr is journald's socket,
 * journald reads the "<N>" priorities. Do not log payloads, tokens or environment values.
 *
 *	log_info("listening on %s", name);
 *
 * Any thread may log. Logging does not wait: if stderr has no room for a line, the line is lost. A
 * sink (log export, -verbose) can be added; it gets the lines too.
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

/* While held, lines are not written to files, because their file system is frozen. */
void log_hold_files(bool hold);

/*
 * Returns true if a line can be written to fd without waiting. Used for stderr and by sinks.
 */
bool log_can_write(int fd);

/* A member of a line besides its text. Log collectors filter by members. */
enum log_field_kind {
	LOG_FIELD_TEXT,	  /* text; NULL leaves the member out */
	LOG_FIELD_NUMBER, /* number */
	LOG_FIELD_BOOL,	  /* number: 0 or 1 */
	LOG_FIELD_JSON,	  /* text is JSON; NULL leaves the member out */
};

struct log_field {
	const char *name;
	enum log_field_kind kind;
	const char *text;
	int64_t number;
};

#define LOG_TEXT(name, value)	((struct log_field){name, LOG_FIELD_TEXT, value, 0})
#define LOG_NUMBER(name, value) ((struct log_field){name, LOG_FIELD_NUMBER, NULL, (int64_t)(value)})
#define LOG_BOOL(name, value)	((struct log_field){name, LOG_FIELD_BOOL, NULL, !!(value)})
#define LOG_JSON(name, value)	((struct log_field){name, LOG_FIELD_JSON, value, 0})

/* The members of a log_event: LOG_FIELDS(LOG_NUMBER("pid", pid), …). They live for the block. */
#define LOG_FIELDS(...)                                                                            \
	.fields = (const struct log_field[]){__VA_ARGS__},                                         \
	.n_fields = sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field)

/*
 * The request to which a line belongs. Its trace context is in the log if the client sent one
 * (rpc/http/trace.h).
 */
struct log_request {
	uint64_t operation; /* its number; 0: the line belongs to no request */
	const char *traceparent;
	const char *tracestate; /* NULL: none, also if traceparent is NULL */
};

/* A line as passed to a sink. All pointers are borrowed during the call. */
struct log_line {
	enum log_level level;
	const char *logger;	/* "envd", "process", "filesystem", "port-forwarder" */
	const char *text;	/* without a newline */
	const char *event_type; /* a member; NULL: left out */
	struct log_request request;
	bool sink_only; /* log_event: the line is not written to stderr, at any level */
	const struct log_field *fields;
	size_t n_fields;
};

/*
 * Returns true if a sink is set. Call it before building an expensive member for log_event.
 */
bool log_has_sink(void);

/*
 * Logs a line with members, for log collectors (docs/compatibility/http.md, "Log export"). The sink
 * gets lines of all levels. Warnings and errors also go to stderr, as text only, unless sink_only
 * is set, as for errors that clients cause. `given` contains everything except the text; a NULL
 * logger is "envd". Input bytes, tokens and values of environment variables must not be members;
 * their lengths may. If nobody takes the line, no text is formatted.
 *
 *	log_event(&(struct log_line){.level = LOG_LEVEL_INFO, .request = request,
 *				     LOG_FIELDS(LOG_NUMBER("pid", pid))},
 *		  "process %d: %s", pid, name);
 */
void log_event(const struct log_line *given, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Sets the function that gets lines besides stderr. NULL removes it. */
typedef void log_sink_fn(const struct log_line *line, void *arg);
void log_set_sink(log_sink_fn *sink, void *arg);

#endif
