#include "base/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_BYTES 1024

static _Atomic int max_level = LOG_LEVEL_INFO;
static _Atomic bool files_held;
static log_sink_fn *sink_fn;
static void *sink_arg;

void log_set_level(enum log_level level)
{
	max_level = (int)level;
}

bool log_enabled(enum log_level level)
{
	return (int)level <= max_level;
}

void log_set_sink(log_sink_fn *sink, void *arg)
{
	sink_fn = sink;
	sink_arg = arg;
}

void log_hold_files(bool hold)
{
	files_held = hold;
}

/*
 * Whether a line can be written without waiting: a pipe or a socket that nobody empties is full at
 * some time, and a file of a frozen file system makes its writer wait.
 */
bool log_can_write(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	struct stat st;

	if (files_held && (fstat(fd, &st) < 0 || S_ISREG(st.st_mode)))
		return false;
	return poll(&p, 1, 0) == 1;
}

/* A line is a line: what a client put into a name must not begin another. */
static void flatten(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

void log_write(enum log_level level, const char *format, ...)
{
	char line[LINE_BYTES];
	va_list ap;
	int prefix = 0;
	size_t n;

	if (!log_enabled(level))
		return;
	/* sd-daemon(3): where stderr is the journal, a line may carry its priority. */
	if (getenv("JOURNAL_STREAM"))
		prefix = snprintf(line, sizeof(line), "<%d>", (int)level);
	va_start(ap, format);
	vsnprintf(line + prefix, sizeof(line) - (size_t)prefix - 1, format, ap);
	va_end(ap);
	flatten(line + prefix);
	if (sink_fn)
		sink_fn(&(struct log_line){.level = level, .text = line + prefix}, sink_arg);
	n = strlen(line);
	line[n++] = '\n';
	/* One write, so that lines of several threads do not mix. */
	if (log_can_write(STDERR_FILENO) && write(STDERR_FILENO, line, n) < 0)
		return;
}

void log_operation(uint64_t operation, const char *event_type, const char *format, ...)
{
	struct log_line line = {
		.level = LOG_LEVEL_INFO, .event_type = event_type, .operation = operation};
	char text[LINE_BYTES];
	va_list ap;

	if (!sink_fn || !log_enabled(LOG_LEVEL_INFO))
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	flatten(text);
	line.text = text;
	sink_fn(&line, sink_arg);
}
