/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lines of a process in the log (docs/compatibility/http, "Log export"). They go to the log's
 * sink alone; without a sink nothing is formatted.
 */
#ifndef PTY_PROC_LOG_H
#define PTY_PROC_LOG_H

#include "pty/proc.h"

/* A longer command line is cut in the log. */
#define PROC_LOG_COMMAND_BYTES (16 * 1024)

/*
 * Writes the command and its arguments, with spaces between, and a NUL. The text is cut after max
 * bytes. `config` may be NULL: "".
 */
void proc_log_command(const Process__ProcessConfig *config, char *text, size_t max);

/* The process was started. timeout_ms: the deadline that the request has set; 0 or less: none. */
void proc_log_start(const struct proc *p, const Process__ProcessConfig *config, int64_t timeout_ms);

/* Call it when the exit status and the output's bytes are known. */
void proc_log_end(const struct proc *p);

/* The process was taken over from a daemon before this one. */
void proc_log_readopted(const struct proc *p);

#endif
