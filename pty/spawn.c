/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clone.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "pty/proc_stat.h"
#include "pty/pty.h"
#include "pty/spawn_child.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* After reporting a failure, a child makes one more system call and exits. */
#define SPAWN_EXIT_WAIT_MS 1000

static struct spawn_defaults defaults;
static bool limits_saved;
/* Held while a pidfd that spawn_kill may use is closed. */
static pthread_mutex_t pidfd_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t inspect_once = PTHREAD_ONCE_INIT;

void spawn_init(void)
{
	unsigned i;

	for (i = 0; i < RLIM_NLIMITS; i++)
		/* Fatal: at the start. */
		if (getrlimit((int)i, &defaults.limits[i]) < 0)
			fatal("getrlimit(%u) failed", i);
	limits_saved = true;
	/* If SIGCHLD is ignored, as a parent may leave it, the kernel reaps our children itself. */
	/* Fatal: at the start. */
	if (signal(SIGCHLD, SIG_DFL) == SIG_ERR)
		fatal("signal failed");
	/* A pipe with one of these numbers would make dup3 in the child fail. */
	fd_fill_standard(O_RDWR);
}

void spawn_original_nofile(struct rlimit *ret)
{
	*ret = defaults.limits[RLIMIT_NOFILE];
}

/* By system call: sigaction(3) refuses the two signals that the C library uses itself. */
static bool is_ignored(unsigned sig)
{
	/* The kernel's struct sigaction begins with the handler on every architecture. */
	union {
		uintptr_t handler;
		char bytes[64];
	} action = {0};

	return syscall(SYS_rt_sigaction, sig, NULL, &action, sizeof(uint64_t)) == 0 &&
	       action.handler == (uintptr_t)SIG_IGN;
}

/*
 * Reads settings of the process that main has made before the first spawn and that do not change
 * later.
 */
static void inspect_process(void)
{
	struct rlimit now;
	unsigned i;

	defaults.privileged = geteuid() == 0;
	for (i = 1; i < _NSIG; i++)
		if (is_ignored(i))
			defaults.ignored |= (uint64_t)1 << (i - 1);
	for (i = 0; limits_saved && i < RLIM_NLIMITS; i++)
		if (getrlimit((int)i, &now) == 0 &&
		    memcmp(&now, &defaults.limits[i], sizeof(now)) != 0)
			defaults.changed_limits |= (uint32_t)1 << i;
}

void spawn_prepare(struct spawn *s)
{
	memset(s, 0, sizeof(*s));
	s->cgroup_fd = s->cgroup_procs_fd = -1;
	s->stdin_fd = s->stdout_fd = s->stderr_fd = -1;
	s->pidfd = -1;
}

/* Creates a pipe owned by the user. The daemon's end (0 to read, 1 to write) is non-blocking. */
static int make_pipe(const struct spawn *s, int own_end, int *ret_own, int *ret_child)
{
	int fds[2], r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	if (fcntl(fds[own_end], F_SETFL, (own_end == 1 ? O_WRONLY : O_RDONLY) | O_NONBLOCK) < 0) {
		r = -errno;
		fd_close(&fds[0]);
		fd_close(&fds[1]);
		return r;
	}
	/* Otherwise another user could not open /dev/stderr, which is a link to the pipe. */
	if (defaults.privileged && s->uid != 0)
		(void)!fchown(fds[0], s->uid, s->gid);
	*ret_own = fds[own_end];
	*ret_child = fds[!own_end];
	return 0;
}

/* The daemon's ends go to `s`, the child's to `fds` (-1: none). */
static int make_stdio(struct spawn *s, int fds[3])
{
	int r = 0;

	if (s->pty) {
		r = pty_open(s->uid, s->cols, s->rows, &s->stdin_fd, &fds[0]);
		s->stdout_fd = s->stdin_fd;
		fds[1] = fds[2] = fds[0];
		return r;
	}
	if (s->stdin_pipe)
		r = make_pipe(s, 1, &s->stdin_fd, &fds[0]);
	if (r == 0)
		r = make_pipe(s, 0, &s->stdout_fd, &fds[1]);
	if (r == 0)
		r = make_pipe(s, 0, &s->stderr_fd, &fds[2]);
	return r;
}

static void close_child_ends(int fds[3])
{
	if (fds[1] == fds[0])
		fds[1] = fds[2] = -1;
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	fd_close(&fds[2]);
}

void spawn_close(struct spawn *s)
{
	if (s->stdout_fd == s->stdin_fd)
		s->stdout_fd = -1;
	fd_close(&s->stdin_fd);
	fd_close(&s->stdout_fd);
	fd_close(&s->stderr_fd);
}

/* Returns the error code of a failed system call. */
static enum error_code code_of(int errnum)
{
	switch (errnum) {
	case EMFILE:
	case ENFILE:
	case EAGAIN:
	case ENOMEM:
	case ENOSPC: /* no terminal left */
		return ERROR_RESOURCE_EXHAUSTED;
	default:
		return ERROR_INTERNAL;
	}
}

/* Converts a child's report to an error. */
static int explain(const struct spawn *s, enum spawn_step step, enum limit_name limit, int errnum,
		   struct error *err)
{
	static const char *const doing[] = {
		[SPAWN_CGROUP] = "enter the cgroup of",
		[SPAWN_STDIO] = "set up input and output of",
		[SPAWN_TERMINAL] = "set up the terminal of",
		[SPAWN_USER] = "become the user of",
	};

	if (step == SPAWN_CWD && errnum == ENOENT)
		return error_set(err, ERROR_INVALID_ARGUMENT, "cwd '%s' does not exist", s->cwd);
	if (step == SPAWN_CWD)
		return error_set_errno(err, ERROR_INVALID_ARGUMENT, errnum,
				       "cwd '%s' cannot be entered", s->cwd);
	if (step == SPAWN_LIMIT)
		return error_set_errno(err, ERROR_FAILED_PRECONDITION, errnum,
				       "limit %s cannot be applied", limits_name(limit));
	if (step == SPAWN_SECCOMP)
		return error_set_errno(err, ERROR_FAILED_PRECONDITION, errnum,
				       "the seccomp profile cannot be applied (without "
				       "-no-new-privs it takes CAP_SYS_ADMIN)");
	if (step == SPAWN_EXEC)
		return error_set_errno(err,
				       errnum == E2BIG ? ERROR_INVALID_ARGUMENT : code_of(errnum),
				       errnum, "error starting process '%s'", s->argv[0]);
	return error_set_errno(err, code_of(errnum), errnum, "cannot %s '%s'", doing[step],
			       s->argv[0]);
}

void spawn_kill(struct spawn *s)
{
	int pidfd;

	pthread_mutex_lock(&pidfd_lock);
	/* The kernel writes it during the clone. */
	pidfd = *(volatile int *)&s->pidfd;
	if (pidfd >= 0)
		syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	pthread_mutex_unlock(&pidfd_lock);
}

/* The pid of a pidfd: its fdinfo has a line "Pid:\tNUMBER" (proc(5)). 0: unknown. */
static pid_t pid_of(int pidfd)
{
	char path[64], text[512];
	FD_AUTO int fd = -1;
	const char *line;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : fd_read_all(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	line = strstr(text, "Pid:");
	return line ? (pid_t)strtol(line + strlen("Pid:"), NULL, 10) : 0;
}

bool spawn_kill_stopped(struct spawn *s)
{
	struct proc_stat stat;
	bool stopped = false;
	int pidfd;
	pid_t pid;

	pthread_mutex_lock(&pidfd_lock);
	pidfd = *(volatile int *)&s->pidfd;
	pid = pidfd >= 0 ? pid_of(pidfd) : 0;
	if (pid > 0 && proc_stat_read(-1, pid, &stat) == 0)
		stopped = stat.state == 'T' || stat.state == 't';
	if (stopped)
		syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	pthread_mutex_unlock(&pidfd_lock);
	return stopped;
}

/*
 * Reaps a child that has reported its failure and is about to end. If a tracer holds the child, the
 * pidfd stays open for the caller.
 */
static void reap(struct spawn *s)
{
	struct pollfd exit = {.fd = s->pidfd, .events = POLLIN};
	siginfo_t info = {0};
	int r;

	while (poll(&exit, 1, SPAWN_EXIT_WAIT_MS) < 0 && errno == EINTR)
		;
	r = waitid((idtype_t)P_PIDFD, (id_t)s->pidfd, &info, WEXITED | WNOHANG);
	if (r == 0 && info.si_pid == 0)
		return;
	pthread_mutex_lock(&pidfd_lock);
	fd_close(&s->pidfd);
	pthread_mutex_unlock(&pidfd_lock);
}

/* Clones. The stack of the child lies in this frame. */
static pid_t clone_child(struct spawn *s, struct spawn_child *report)
{
	_Alignas(16) char stack[SPAWN_STACK_BYTES];
	struct clone_child child = {
		.run = spawn_child_main,
		.arg = report,
		.stack = stack,
		.stack_bytes = sizeof(stack),
		.cgroup_fd = s->cgroup_procs_fd >= 0 ? -1 : s->cgroup_fd,
		.pidfd = &s->pidfd,
	};
	char *cmd = s->argv[0];
	pid_t pid = clone_vfork(&child);

	/* For a script the child replaced it by a path on its stack. */
	s->argv[0] = cmd;
	return pid;
}

int spawn_run(struct spawn *s, struct error *err)
{
	struct spawn_child report = {.spawn = s, .defaults = &defaults, .fds = {-1, -1, -1}};
	int r, i;

	for (i = 0; i < LIMIT_NAMES; i++)
		report.resources[i] = limits_resource((enum limit_name)i);
	pthread_once(&inspect_once, inspect_process);
	r = make_stdio(s, report.fds);
	if (r == 0)
		r = s->pid = clone_child(s, &report);
	close_child_ends(report.fds);
	if (r < 0) {
		spawn_close(s);
		return error_set_errno(err, code_of(-r), r, "cannot start '%s'", s->argv[0]);
	}
	s->cwd_replaced = report.cwd_replaced;
	if (report.failed_at == SPAWN_STARTED)
		return 0;
	reap(s);
	spawn_close(s);
	return explain(s, report.failed_at, report.failed_limit, report.failed_errno, err);
}
