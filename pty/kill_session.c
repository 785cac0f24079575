/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/kill_session.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "pty/proc_stat.h"

/*
 * Limits the loop: a session that still grows after this many passes forks faster than it is
 * killed.
 */
#define MAX_LOOKS 100

/* The members that were signalled. They stay visible until they have died. */
struct seen {
	pid_t *pids;
	size_t n, room;
	int shortage; /* 0, or -errno: a candidate could not be looked at */
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

/* Notes a shortage. Any other failure means that the process has ended. */
static void note_failure(struct seen *seen, int r)
{
	if (fd_is_shortage(r))
		seen->shortage = r;
}

static bool is_member(int proc_fd, pid_t pid, struct seen *seen, pid_t leader)
{
	struct proc_stat stat;
	int r = proc_stat_read(proc_fd, pid, &stat);

	note_failure(seen, r);
	return r == 0 && stat.session == leader && stat.state != 'Z' && stat.state != 'X';
}

/*
 * Signals a member that is not in `seen` and adds it; returns 1, or 0 if it is not a member. Checks
 * the membership again after opening the pidfd, because the pid may belong to another process now.
 */
static unsigned kill_new_member(int proc_fd, pid_t pid, struct seen *seen, pid_t leader)
{
	FD_AUTO int pidfd = -1;

	if (pid <= 0 || seen_before(seen, pid) || !is_member(proc_fd, pid, seen, leader))
		return 0;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		note_failure(seen, -errno);
	if (pidfd < 0 || !is_member(proc_fd, pid, seen, leader) ||
	    syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0)
		return 0;
	see(seen, pid);
	return 1;
}

/* Walks /proc once and signals the members that are not in `seen`. Returns their number. */
static unsigned search_proc(DIR *proc, struct seen *seen, pid_t leader)
{
	const struct dirent *entry;
	unsigned found = 0;

	rewinddir(proc);
	while ((entry = readdir(proc)))
		found += kill_new_member(dirfd(proc), (pid_t)strtol(entry->d_name, NULL, 10), seen,
					 leader);
	return found;
}

/* As search_proc, for the pids in a cgroup.procs. Reads may end inside a line. */
static unsigned search_cgroup(int members_fd, int proc_fd, struct seen *seen, pid_t leader)
{
	char text[4096];
	unsigned found = 0;
	pid_t pid = 0;
	off_t at = 0;
	ssize_t n, i;

	while ((n = pread(members_fd, text, sizeof(text), at)) > 0) {
		at += n;
		for (i = 0; i < n; i++) {
			if (text[i] >= '0' && text[i] <= '9') {
				pid = pid * 10 + (text[i] - '0');
				continue;
			}
			found += kill_new_member(proc_fd, pid, seen, leader);
			pid = 0;
		}
	}
	return found;
}

int kill_session(pid_t leader, int members_fd)
{
	DIR *proc = opendir("/proc");
	struct seen seen = {0};
	unsigned looks, found;

	if (!proc)
		note_failure(&seen, -errno);

	/*
	 * A process with a pending SIGKILL can't fork, so a pass that finds no new member is the
	 * last.
	 */
	for (looks = 0; proc && looks < MAX_LOOKS; looks++) {
		if (members_fd >= 0)
			found = search_cgroup(members_fd, dirfd(proc), &seen, leader);
		else
			found = search_proc(proc, &seen, leader);
		if (found == 0)
			break;
	}
	if (proc)
		closedir(proc);
	free(seen.pids);
	return seen.shortage < 0 ? seen.shortage : (int)seen.n;
}
