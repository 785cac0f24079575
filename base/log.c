/* SPDX-License-Identifier: Apache-2.0 */
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
 * A pipe or a socket whose reader does not read becomes full, and a write to a frozen file system
 * blocks.
 */
bool log_can_write(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	struct stat st;

	if (files_held && (fstat(fd, &st) < 0 || S_ISREG(st.st_mode)))
		return false;
	return poll(&p, 1, 0) == 1;
}

/* Replaces control characters, so that a name from a client can't begin another line. */
static void flatten(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

/* One write for each line, so that lines of several threads do not mix. */
static void write_stderr(enum log_level level, const char *text)
{
	char line[LINE_BYTES + 8];
	int n;

	/* If stderr is the journal, a line may have a priority (sd-daemon(3)). */
	if (getenv("JOURNAL_STREAM"))
		n = snprintf(line, sizeof(line), "<%d>%s\n", (int)level, text);
	else
		n = snprintf(line, sizeof(line), "%s\n", text);
	if (log_can_write(STDERR_FILENO) && write(STDERR_FILENO, line, (size_t)n) < 0)
		return;
}

void log_write(enum log_level level, const char *format, ...)
{
	char text[LINE_BYTES];
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	flatten(text);
	if (sink_fn)
		sink_fn(&(struct log_line){.level = level, .text = text}, sink_arg);
	write_stderr(level, text);
}

bool log_has_sink(void)
{
	return sink_fn != NULL;
}

void log_event(const struct log_line *given, const char *format, ...)
{
	bool to_stderr =
		!given->sink_only && given->level <= LOG_LEVEL_WARN && log_enabled(given->level);
	struct log_line line = *given;
	char text[LINE_BYTES];
	va_list ap;

	if (!sink_fn && !to_stderr)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	flatten(text);
	line.text = text;
	if (sink_fn)
		sink_fn(&line, sink_arg);
	if (to_stderr)
		write_stderr(given->level, text);
}
