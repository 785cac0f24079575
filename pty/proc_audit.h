/* SPDX-License-Identifier: Apache-2.0 */
/* The events of processes in the audit stream (base/audit.h). */
#ifndef PTY_PROC_AUDIT_H
#define PTY_PROC_AUDIT_H

#include "pty/proc.h"

struct limits;

/* A longer command line is cut. */
#define PROC_AUDIT_COMMAND_BYTES 4096

/* A Start, successful or not. */
struct proc_audit_start {
	struct log_request request;
	const char *asked_by; /* NULL: the request names no user */
	const Process__ProcessConfig *config;
	const struct proc *proc; /* NULL: it failed */
	const char *error;	 /* NULL: it succeeded */
	const char *user, *cwd;
	const struct limits *limits;
	const char *seccomp; /* the profile that was chosen; "": the default; NULL: none */
	const char *tag;     /* NULL: none */
};
void proc_audit_start(const struct proc_audit_start *start);

/* Call it when the exit status is known. */
void proc_audit_end(const struct proc *p);

#endif
