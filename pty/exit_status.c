/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/exit_status.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

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
		       char text[EXIT_STATUS_TEXT_BYTES], Process__ProcessEvent__EndEvent *ret)
{
	process__process_event__end_event__init(ret);
	ret->exited = exit_status->code == CLD_EXITED;
	if (ret->exited)
		snprintf(text, EXIT_STATUS_TEXT_BYTES, "exit status %d", exit_status->status);
	else
		signal_text(exit_status->status, exit_status->code == CLD_DUMPED, text);
	ret->exit_code = ret->exited ? exit_status->status : -1;
	ret->status = text;
	ret->oom_killed = explain && exit_status->oom;
	if (ret->exited && exit_status->status == 0)
		return;
	ret->opt_error_case = PROCESS__PROCESS_EVENT__END_EVENT__OPT_ERROR_ERROR;
	ret->error = text;
}
