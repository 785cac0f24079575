/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/exit_status.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Go's syscall.Signal has names for these on Linux; any other is "signal N". */
static const char *const signal_names[] = {
	[SIGHUP] = "hangup",
	[SIGINT] = "interrupt",
	[SIGQUIT] = "quit",
	[SIGILL] = "illegal instruction",
	[SIGTRAP] = "trace/breakpoint trap",
	[SIGABRT] = "aborted",
	[SIGBUS] = "bus error",
	[SIGFPE] = "floating point exception",
	[SIGKILL] = "killed",
	[SIGUSR1] = "user defined signal 1",
	[SIGSEGV] = "segmentation fault",
	[SIGUSR2] = "user defined signal 2",
	[SIGPIPE] = "broken pipe",
	[SIGALRM] = "alarm clock",
	[SIGTERM] = "terminated",
	[SIGSTKFLT] = "stack fault",
	[SIGCHLD] = "child exited",
	[SIGCONT] = "continued",
	[SIGSTOP] = "stopped (signal)",
	[SIGTSTP] = "stopped",
	[SIGTTIN] = "stopped (tty input)",
	[SIGTTOU] = "stopped (tty output)",
	[SIGURG] = "urgent I/O condition",
	[SIGXCPU] = "CPU time limit exceeded",
	[SIGXFSZ] = "file size limit exceeded",
	[SIGVTALRM] = "virtual timer expired",
	[SIGPROF] = "profiling timer expired",
	[SIGWINCH] = "window changed",
	[SIGIO] = "I/O possible",
	[SIGPWR] = "power failure",
	[SIGSYS] = "bad system call",
};

static const char unknown_text[] = "unknown: the daemon was restarted";

/* By the bit of enum exit_limit. */
static const char *const limit_names[EXIT_LIMITS] = {"memory", "pids", "cpu"};

static void explain_end(const struct exit_status *exit_status, struct exit_status_text *text,
			Process__ProcessEvent__EndEvent *ret)
{
	size_t i;

	ret->oom_killed = exit_status->oom;
	ret->cpu_time_us = exit_status->cpu_time_us;
	ret->memory_peak_bytes = (uint64_t)exit_status->memory_peak_kib * 1024;
	ret->limits_reached = text->limits;
	for (i = 0; i < EXIT_LIMITS; i++)
		if (exit_status->limits_reached & 1u << i)
			text->limits[ret->n_limits_reached++] = limit_names[i];
}

static void signal_text(int signal, bool dumped, char text[EXIT_STATUS_TEXT_BYTES])
{
	const char *suffix = dumped ? " (core dumped)" : "";
	size_t i = (size_t)signal;

	if (i < ARRAY_LEN(signal_names) && signal_names[i])
		snprintf(text, EXIT_STATUS_TEXT_BYTES, "signal: %s%s", signal_names[i], suffix);
	else
		snprintf(text, EXIT_STATUS_TEXT_BYTES, "signal: signal %d%s", signal, suffix);
}

void exit_status_event(const struct exit_status *exit_status, bool explain,
		       struct exit_status_text *text, Process__ProcessEvent__EndEvent *ret)
{
	char *status = &text->status[0];

	process__process_event__end_event__init(ret);
	ret->exited = exit_status->code == CLD_EXITED;
	if (ret->exited)
		snprintf(status, EXIT_STATUS_TEXT_BYTES, "exit status %d", exit_status->status);
	else if (exit_status->code == 0)
		snprintf(status, EXIT_STATUS_TEXT_BYTES, "%s", unknown_text);
	else
		signal_text(exit_status->status, exit_status->code == CLD_DUMPED, status);
	ret->exit_code = ret->exited ? exit_status->status : -1;
	ret->status = status;
	if (explain)
		explain_end(exit_status, text, ret);
	if (ret->exited && exit_status->status == 0)
		return;
	ret->opt_error_case = PROCESS__PROCESS_EVENT__END_EVENT__OPT_ERROR_ERROR;
	ret->error = status;
}

/*
 * Returns the signal whose name begins at `text`; -1 if there is none. "signal 0" is an unknown
 * signal. *ret_dumped: a core was dumped.
 */
static int parse_signal(const char *text, bool *ret_dumped)
{
	static const char prefix[] = "signal: ", dumped[] = " (core dumped)",
			  numbered[] = "signal ";
	size_t n, i;

	if (strncmp(text, prefix, sizeof(prefix) - 1) == 0)
		text += sizeof(prefix) - 1;
	n = strlen(text);
	*ret_dumped =
		n >= sizeof(dumped) - 1 && strcmp(text + n - (sizeof(dumped) - 1), dumped) == 0;
	if (*ret_dumped)
		n -= sizeof(dumped) - 1;
	for (i = 1; i < ARRAY_LEN(signal_names); i++)
		if (signal_names[i] && strlen(signal_names[i]) == n &&
		    memcmp(text, signal_names[i], n) == 0)
			return (int)i;
	if (strncmp(text, numbered, sizeof(numbered) - 1) == 0)
		return (int)strtol(text + sizeof(numbered) - 1, NULL, 10);
	return -1;
}

/* Reads the usage from an end event of an earlier envd. */
static void parse_usage(const Process__ProcessEvent__EndEvent *event, struct exit_status *ret)
{
	size_t i, j;

	ret->cpu_time_us = event->cpu_time_us;
	ret->memory_peak_kib = (uint32_t)(event->memory_peak_bytes / 1024);
	for (i = 0; i < event->n_limits_reached; i++)
		for (j = 0; j < EXIT_LIMITS; j++)
			if (strcmp(event->limits_reached[i], limit_names[j]) == 0)
				ret->limits_reached |= (uint8_t)(1u << j);
}

int exit_status_parse(const Process__ProcessEvent__EndEvent *event, struct exit_status *ret)
{
	bool dumped = false;
	int number;

	*ret = (struct exit_status){.oom = event->oom_killed};
	parse_usage(event, ret);
	if (event->exited) {
		ret->code = CLD_EXITED;
		ret->status = event->exit_code & 0xff;
		return 0;
	}
	if (strcmp(event->status, unknown_text) == 0)
		return 0;
	number = parse_signal(event->status, &dumped);
	if (number < 0 || number > SIGRTMAX)
		return -EINVAL;
	ret->code = dumped ? CLD_DUMPED : CLD_KILLED;
	ret->status = number;
	return 0;
}
