/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/proc_stat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

/* proc(5) numbers the fields from 1: pid, (comm), state, ppid, pgrp, session, … */
enum {
	FIELD_STATE = 3,
	FIELD_SESSION = 6,
	FIELD_EXIT_CODE = 52,
};

/*
 * Returns the text of a field after "(comm)". comm may contain spaces and parentheses, so it ends
 * at the last parenthesis of the line.
 */
static const char *find_field(const char *text, int field)
{
	const char *p = strrchr(text, ')');
	int i;

	for (i = FIELD_STATE; p && i <= field; i++)
		p = strchr(p + 1, ' ');
	return p ? p + 1 : NULL;
}

int proc_stat_read(int proc_fd, pid_t pid, struct proc_stat *ret)
{
	const char *state, *session, *exit_code;
	char path[32], text[1024];
	FD_AUTO int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), proc_fd >= 0 ? "%d/stat" : "/proc/%d/stat", (int)pid);
	fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = fd_read_all(fd, text, sizeof(text) - 1);
	if (n < 0)
		return (int)n;
	text[n] = '\0';
	state = find_field(text, FIELD_STATE);
	session = find_field(text, FIELD_SESSION);
	exit_code = find_field(text, FIELD_EXIT_CODE);
	if (!state || !session || !exit_code)
		return -EPROTO;
	ret->state = *state;
	ret->session = (pid_t)strtol(session, NULL, 10);
	ret->exit_code = (int)strtol(exit_code, NULL, 10);
	return 0;
}
