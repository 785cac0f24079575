/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/proc_audit.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/audit.h"
#include "pty/limits.h"
#include "pty/proc_log.h"

#define LIMITS_BYTES 512

/* Writes "memory=512, nice=5". Numbers are in the units of the kernel's files and calls. */
static void format_limits(const struct limits *limits, char text[LIMITS_BYTES])
{
	size_t n = 0;
	int i;

	text[0] = '\0';
	for (i = 0; i < LIMIT_NAMES && n < LIMITS_BYTES; i++) {
		const struct limit *limit = &limits->of[i];
		const char *comma = n ? ", " : "", *name = limits_name(i);
		size_t room = LIMITS_BYTES - n;

		if (!limit->set)
			continue;
		if (i == LIMIT_NICE)
			n += (size_t)snprintf(text + n, room, "%s%s=%d", comma, name, limit->nice);
		else if (limits_resource(i) >= 0)
			n += (size_t)snprintf(text + n, room, "%s%s=%ju", comma, name,
					      (uintmax_t)limit->number);
		else
			n += (size_t)snprintf(text + n, room, "%s%s=%s", comma, name, limit->text);
	}
}

void proc_audit_start(const struct proc_audit_start *start)
{
	char command[PROC_AUDIT_COMMAND_BYTES + 1], limits[LIMITS_BYTES];
	const char *seccomp = start->seccomp;
	struct log_field fields[10];
	size_t n = 0;

	if (!audit_enabled())
		return;
	proc_log_command(start->config, command, PROC_AUDIT_COMMAND_BYTES);
	format_limits(start->limits, limits);
	if (start->proc)
		fields[n++] = LOG_NUMBER("pid", start->proc->pid);
	fields[n++] = LOG_TEXT("command", command);
	fields[n++] = LOG_TEXT("user", start->user);
	fields[n++] = LOG_TEXT("cwd", start->cwd);
	fields[n++] = LOG_TEXT("tag", start->tag);
	fields[n++] = LOG_TEXT("limits", *limits ? limits : NULL);
	fields[n++] = LOG_TEXT("seccomp", seccomp && !*seccomp ? "default" : seccomp);
	fields[n++] = LOG_TEXT("error", start->error);
	audit_event(&(struct audit_event){.name = "start",
					  .request = start->request,
					  .asked_by = start->asked_by,
					  .fields = fields,
					  .n_fields = n});
}

void proc_audit_end(const struct proc *p)
{
	Process__ProcessEvent__EndEvent event;
	struct exit_status_text text;

	if (!audit_enabled())
		return;
	exit_status_event(&p->exit_status, false, &text, &event);
	audit_event(&(struct audit_event){
		.name = "end",
		.request = p->request,
		LOG_FIELDS(LOG_NUMBER("pid", p->pid), LOG_TEXT("status", event.status))});
}
