#include "pty/kill_session.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

/* A session that goes on to grow after so many looks is forking faster than it dies. */
#define MAX_LOOKS 100

/* The members that were signalled: they may stay visible until they have died. */
struct seen {
	pid_t *pids;
	size_t n, room;
};

static bool seen_before(const struct seen *seen, pid_t pid)
{
	size_t i;

	for (i = 0; i < seen->n; i++)
		if (seen->pids[i] == pid)
			return true;
	return false;
}

static void see(struct seen *seen, pid_t pid)
{
	if (seen->n == seen->room) {
		seen->room = seen->room ? seen->room * 2 : 64;
		seen->pids = mem_realloc(seen->pids, seen->room * sizeof(*seen->pids));
	}
	seen->pids[seen->n++] = pid;
}

/*
 * Whether this process is a living member. proc(5): `pid (comm) state ppid pgrp session …`, where
 * comm may have spaces and parentheses of its own.
 */
static bool is_member(int proc_fd, const char *name, pid_t leader)
{
	char path[32], text[512];
	FD_AUTO int fd = -1;
	char *p, state;
	long session;
	ssize_t n;

	snprintf(path, sizeof(path), "%.16s/stat", name);
	fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	p = strrchr(text, ')');
	if (!p || p[1] != ' ' || p[2] == '\0')
		return false;
	state = p[2];
	strtol(p + 3, &p, 10); /* ppid */
	strtol(p, &p, 10);     /* pgrp */
	session = strtol(p, &p, 10);
	return session == leader && state != 'Z' && state != 'X';
}

/* Signals it if it is a member still once it is held by a descriptor, so that it is no other. */
static bool kill_member(int proc_fd, const char *name, pid_t pid, pid_t leader)
{
	FD_AUTO int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (pidfd < 0 || !is_member(proc_fd, name, leader))
		return false;
	return syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0;
}

/* One look at everything: how many members were found that had not been seen. */
static unsigned kill_new_members(DIR *proc, struct seen *seen, pid_t leader)
{
	const struct dirent *entry;
	unsigned found = 0;
	pid_t pid;

	rewinddir(proc);
	while ((entry = readdir(proc))) {
		pid = (pid_t)strtol(entry->d_name, NULL, 10);
		if (pid <= 0 || seen_before(seen, pid) ||
		    !is_member(dirfd(proc), entry->d_name, leader) ||
		    !kill_member(dirfd(proc), entry->d_name, pid, leader))
			continue;
		see(seen, pid);
		found++;
	}
	return found;
}

unsigned kill_session(pid_t leader)
{
	DIR *proc = opendir("/proc");
	struct seen seen = {0};
	unsigned looks;

	/* A process that is being killed can't fork, so a look that finds nobody new is the last. */
	for (looks = 0; proc && looks < MAX_LOOKS; looks++)
		if (kill_new_members(proc, &seen, leader) == 0)
			break;
	if (proc)
		closedir(proc);
	free(seen.pids);
	return (unsigned)seen.n;
}
