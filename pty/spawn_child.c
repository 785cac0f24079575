#include "pty/spawn_child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* What a child runs with, whatever the daemon itself runs at. */
#define CHILD_OOM_SCORE_ADJ "100"
#define CHILD_IOPRIO	    IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 4)
#define CHILD_UMASK	    022

#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND	    127

/* A text has no NUL in its first bytes: what a shell looks at before it takes a file for a script. */
#define SCRIPT_LOOK_BYTES 128

/*
 * A file that another child still holds open for writing, between its clone and its close_range,
 * can't be executed yet: tried again after 2, 4, 8, … ms.
 */
#define BUSY_TRIES 7

/* The sanitizers' shadow of this stack would outlive it, and their checks call back into them. */
#define CHILD_CODE __attribute__((no_sanitize("address", "undefined", "thread")))

/*
 * System calls without the C library's wrappers, around which the sanitizers put their own. The
 * errno they set is that of the suspended thread.
 */
CHILD_CODE static int sys_open(const char *path, int flags)
{
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0);
}

CHILD_CODE static void sys_close(int fd)
{
	syscall(SYS_close, fd);
}

CHILD_CODE _Noreturn static void sys_exit(int status)
{
	for (;;)
		syscall(SYS_exit_group, status);
}

/* Ends the child before it was one: the parent reads the report. */
CHILD_CODE _Noreturn static void fail(struct spawn_child *c, enum spawn_step step, int errnum)
{
	c->failed_errno = errnum;
	c->failed_at = step;
	sys_exit(EXIT_NOT_FOUND);
}

/* Out of the daemon's session, cgroup and priorities. What can't be had is left. */
CHILD_CODE static void leave_daemon(struct spawn_child *c)
{
	const struct spawn *s = c->spawn;
	int fd;

	syscall(SYS_setsid);
	if (s->cgroup_procs_fd >= 0 && syscall(SYS_write, s->cgroup_procs_fd, "0", 1) < 0)
		fail(c, SPAWN_CGROUP, errno);
	fd = sys_open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		syscall(SYS_write, fd, CHILD_OOM_SCORE_ADJ, sizeof(CHILD_OOM_SCORE_ADJ) - 1);
		sys_close(fd);
	}
	syscall(SYS_setpriority, PRIO_PROCESS, 0, 0);
	syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, CHILD_IOPRIO);
	syscall(SYS_umask, CHILD_UMASK);
}

/* Signals and limits as a program expects them. Handlers were reset by the clone. */
CHILD_CODE static void reset_process(const struct spawn_defaults *d)
{
	/* The kernel's struct sigaction, whatever its layout: SIG_DFL and no flags are zero. */
	static const char default_action[64];
	unsigned i;

	for (i = 1; i < _NSIG; i++)
		if (d->ignored & (uint64_t)1 << (i - 1))
			syscall(SYS_rt_sigaction, i, default_action, NULL, sizeof(uint64_t));
	for (i = 0; i < RLIM_NLIMITS; i++)
		if (d->changed_limits & (uint32_t)1 << i)
			syscall(SYS_prlimit64, 0, i, &d->limits[i], NULL);
}

/* An input that is at its end: /dev/null, or where an image has none, a pipe without a writer. */
CHILD_CODE static int open_nothing(void)
{
	int fd = sys_open("/dev/null", O_RDONLY | O_CLOEXEC);
	int pipe_fds[2];

	if (fd >= 0)
		return fd;
	if (syscall(SYS_pipe2, pipe_fds, O_CLOEXEC) < 0)
		return -1;
	sys_close(pipe_fds[1]);
	return pipe_fds[0];
}

/*
 * The descriptors 0, 1, 2, and no others: not even until the exec, which may take long, for a
 * connection of the daemon's that is open here is not closed when the daemon closes it.
 */
CHILD_CODE static void set_stdio(struct spawn_child *c)
{
	int i, fd;

	for (i = 0; i < 3; i++) {
		fd = c->fds[i] >= 0 ? c->fds[i] : open_nothing();
		if (syscall(SYS_dup3, fd, i, 0) < 0)
			fail(c, SPAWN_STDIO, errno);
	}
	/* Where the call is not to be had the exec closes them. */
	syscall(SYS_close_range, 3U, ~0U, 0);
	if (c->spawn->pty && syscall(SYS_ioctl, 0, TIOCSCTTY, 0) < 0)
		fail(c, SPAWN_TERMINAL, errno);
}

/*
 * The C library's setuid family would signal every thread of the daemon and wait for them, so the
 * system calls are made directly: they change the calling task alone.
 */
CHILD_CODE static void become_user(struct spawn_child *c)
{
	const struct spawn *s = c->spawn;

	if (!c->defaults->privileged)
		return;
	if (syscall(SYS_setgroups, s->n_groups, s->groups) < 0 ||
	    syscall(SYS_setresgid, s->gid, s->gid, s->gid) < 0 ||
	    syscall(SYS_setresuid, s->uid, s->uid, s->uid) < 0)
		fail(c, SPAWN_USER, errno);
}

/* Whether a file that the kernel can't execute could be a shell's script. */
CHILD_CODE static bool is_text(const char *path)
{
	char start[SCRIPT_LOOK_BYTES];
	int fd = sys_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n, i;

	/* Unreadable: the shell will say so. */
	if (fd < 0)
		return true;
	n = syscall(SYS_read, fd, start, sizeof(start));
	sys_close(fd);
	for (i = 0; i < n && start[i] != '\n'; i++)
		if (start[i] == '\0')
			return false;
	return true;
}

CHILD_CODE static void sleep_ms(long ms)
{
	struct timespec delay = {.tv_nsec = ms * 1000000};

	syscall(SYS_nanosleep, &delay, NULL);
}

/* Executes one file, or returns the errno. */
CHILD_CODE static int exec_file(struct spawn_child *c, char *path)
{
	const struct spawn *s = c->spawn;
	char *name = s->argv[0];
	unsigned tries = 0;
	static char shell[] = "/bin/sh";

	do {
		if (tries)
			sleep_ms(1L << tries);
		syscall(SYS_execve, path, s->argv, s->envp);
	} while (errno == ETXTBSY && ++tries < BUSY_TRIES);
	/* Only here is it known that the strings are too long, and nothing was run. */
	if (errno == E2BIG)
		fail(c, SPAWN_EXEC, E2BIG);
	if (errno != ENOEXEC || !is_text(path))
		return errno;
	s->argv[-1] = shell;
	s->argv[0] = path;
	syscall(SYS_execve, shell, s->argv - 1, s->envp);
	s->argv[0] = name;
	return errno;
}

/*
 * Looks the command up in PATH as execvp(3) does, but in the child's own PATH and with none where
 * it has none. Returns the errno to report: that a match was not executable, else that there is
 * none.
 */
CHILD_CODE static int exec_search(struct spawn_child *c)
{
	char path[4096];
	char *cmd = c->spawn->argv[0];
	size_t cmd_bytes = strlen(cmd), n;
	const char *element = c->spawn->path, *end;
	int found = ENOENT, errnum;

	if (strchr(cmd, '/'))
		return exec_file(c, cmd);
	if (!element || !*element || cmd_bytes == 0)
		return ENOENT;
	for (;; element = end + 1) {
		end = strchrnul(element, ':');
		n = (size_t)(end - element);
		if (n + 1 + cmd_bytes + 1 <= sizeof(path)) {
			memcpy(path, element, n);
			if (n)
				path[n++] = '/';
			memcpy(path + n, cmd, cmd_bytes + 1);
			errnum = exec_file(c, path);
			if (errnum != ENOENT && errnum != ENOTDIR && errnum != ENAMETOOLONG &&
			    errnum != ELOOP && found == ENOENT)
				found = errnum;
		}
		if (!*end)
			return found;
	}
}

/* The last words of a child that could not become its program. */
CHILD_CODE static void complain(const char *cmd, int errnum)
{
	const char *reason = strerrordesc_np(errnum);
	struct iovec line[4] = {
		{.iov_base = (void *)(uintptr_t)cmd, .iov_len = strlen(cmd)},
		{.iov_base = (void *)(uintptr_t) ": ", .iov_len = 2},
		{.iov_base = (void *)(uintptr_t)reason, .iov_len = reason ? strlen(reason) : 0},
		{.iov_base = (void *)(uintptr_t) "\n", .iov_len = 1},
	};

	syscall(SYS_writev, STDERR_FILENO, line, 4);
}

CHILD_CODE void spawn_child_main(void *arg)
{
	struct spawn_child *c = arg;
	const struct spawn *s = c->spawn;
	uint64_t no_signals = 0;
	int errnum;

	leave_daemon(c);
	reset_process(c->defaults);
	set_stdio(c);
	become_user(c);
	if (syscall(SYS_chdir, s->cwd) < 0)
		fail(c, SPAWN_CWD, errno);
	/* Signals were blocked so far: from here on one may end the child, and only the child. */
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, NULL, sizeof(no_signals));
	errnum = exec_search(c);
	complain(s->argv[0], errnum);
	sys_exit(errnum == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}
