/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/spawn_child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/ioprio.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Set for each child, independent of the daemon's own values. */
#define CHILD_OOM_SCORE_ADJ "100"
#define CHILD_IOPRIO	    IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 4)
#define CHILD_UMASK	    022

#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND	    127

/*
 * A file without NUL in its first line of at most this many bytes counts as a script, as in shells.
 */
#define SCRIPT_LOOK_BYTES 128

/*
 * ETXTBSY: another child, between its clone and its close_range, may hold the file open for
 * writing. The exec is tried again after 2, 4, 8, … ms.
 */
#define BUSY_TRIES 7

/* Sanitizers keep a shadow of this stack after its end, and their checks are calls. */
#define CHILD_CODE __attribute__((no_sanitize("address", "undefined", "thread")))

/*
 * System calls without the C library's wrappers, which sanitizers replace. They set the errno of
 * the suspended thread.
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

/* Reports a failure and exits. */
CHILD_CODE _Noreturn static void fail(struct spawn_child *c, enum spawn_step step, int errnum)
{
	c->failed_errno = errnum;
	c->failed_at = step;
	sys_exit(EXIT_NOT_FOUND);
}

/* Leaves the daemon's session, cgroup and priorities. Ignores failures of priorities. */
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

/* Resets ignored signals and changed limits. The clone has reset the signal handlers. */
CHILD_CODE static void reset_process(const struct spawn_defaults *d)
{
	/*
	 * As the kernel's struct sigaction, on every architecture: SIG_DFL and no flags are zero.
	 */
	static const char default_action[64];
	unsigned i;

	for (i = 1; i < _NSIG; i++)
		if (d->ignored & (uint64_t)1 << (i - 1))
			syscall(SYS_rt_sigaction, i, default_action, NULL, sizeof(uint64_t));
	for (i = 0; i < RLIM_NLIMITS; i++)
		if (d->changed_limits & (uint32_t)1 << i)
			syscall(SYS_prlimit64, 0, i, &d->limits[i], NULL);
}

/*
 * The limits of this one process, while the child is still privileged. The limit of descriptors
 * counts from here on: the child has only 0, 1 and 2.
 */
CHILD_CODE static void set_limits(struct spawn_child *c)
{
	const struct limits *limits = c->spawn->limits;
	struct rlimit limit;
	long r;
	int i;

	for (i = 0; limits && i < LIMIT_NAMES; i++) {
		if (!limits->of[i].set || (c->resources[i] < 0 && i != LIMIT_NICE))
			continue;
		limit.rlim_cur = limit.rlim_max = limits->of[i].number;
		if (i == LIMIT_NICE)
			r = syscall(SYS_setpriority, PRIO_PROCESS, 0, limits->of[i].nice);
		else
			r = syscall(SYS_prlimit64, 0, c->resources[i], &limit, NULL);
		c->failed_limit = (enum limit_name)i;
		if (r < 0)
			fail(c, SPAWN_LIMIT, errno);
	}
}

/* Opens an input at EOF: /dev/null, or in an image without it, a pipe without a writer. */
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
 * Sets up descriptors 0, 1, 2 and closes all others. It does not leave this to the exec, which may
 * take long: a connection that the daemon closes would stay open in the child until then.
 */
CHILD_CODE static void set_stdio(struct spawn_child *c)
{
	int i, fd;

	/* The input comes last: the outputs have left two descriptors for it to open. */
	for (i = 2; i >= 0; i--) {
		fd = c->fds[i] >= 0 ? c->fds[i] : open_nothing();
		if (fd < 0 || syscall(SYS_dup3, fd, i, 0) < 0)
			fail(c, SPAWN_STDIO, errno);
		if (!c->spawn->pty)
			sys_close(fd);
	}
	/* Linux before 5.9 lacks this call; then the exec closes them. */
	syscall(SYS_close_range, 3U, ~0U, 0);
	if (c->spawn->pty && syscall(SYS_ioctl, 0, TIOCSCTTY, 0) < 0)
		fail(c, SPAWN_TERMINAL, errno);
}

/*
 * Returns true if the child must keep CAP_SYS_ADMIN when it changes its user: only a process with
 * this capability, or with no_new_privs, may install a filter. The exec drops the capability.
 */
CHILD_CODE static bool keeps_capability(const struct spawn *s)
{
	return s->filter && !s->no_new_privs && s->uid != 0;
}

/* Keeps only CAP_SYS_ADMIN of the capabilities that are permitted after the change of the user. */
CHILD_CODE static void keep_capability(struct spawn_child *c)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, data) < 0)
		fail(c, SPAWN_SECCOMP, errno);
	data[0].permitted &= CAP_TO_MASK(CAP_SYS_ADMIN);
	data[1].permitted = 0;
	data[0].effective = data[0].permitted;
	data[1].effective = 0;
	if (syscall(SYS_capset, &header, data) < 0)
		fail(c, SPAWN_SECCOMP, errno);
}

/* seccomp(2). After it the child makes the calls of exec_search and complain alone. */
CHILD_CODE static void install_filter(struct spawn_child *c)
{
	const struct spawn *s = c->spawn;

	if (s->no_new_privs && syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		fail(c, SPAWN_SECCOMP, errno);
	if (s->filter && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, s->filter) < 0)
		fail(c, SPAWN_SECCOMP, errno);
}

/*
 * Uses system calls, which change only the calling task: setuid(3) and its family change every
 * thread of the daemon (nptl(7)).
 *
 * Without CAP_SETGID, setgroups(2) fails. If the ids are right already, as in a container whose
 * root has no capabilities, the child keeps the daemon's groups.
 */
CHILD_CODE static void become_user(struct spawn_child *c)
{
	const struct spawn *s = c->spawn;

	if (!c->defaults->privileged)
		return;
	if (syscall(SYS_setgroups, s->n_groups, s->groups) < 0 &&
	    (errno != EPERM || (uid_t)syscall(SYS_geteuid) != s->uid ||
	     (gid_t)syscall(SYS_getegid) != s->gid))
		fail(c, SPAWN_USER, errno);
	if (keeps_capability(s) && syscall(SYS_prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		fail(c, SPAWN_USER, errno);
	if (syscall(SYS_setresgid, s->gid, s->gid, s->gid) < 0 ||
	    syscall(SYS_setresuid, s->uid, s->uid, s->uid) < 0)
		fail(c, SPAWN_USER, errno);
	if (keeps_capability(s))
		keep_capability(c);
}

/* Returns true if a file that the kernel can't execute may be a shell script. */
CHILD_CODE static bool is_text(const char *path)
{
	char start[SCRIPT_LOOK_BYTES];
	int fd = sys_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n, i;

	/* Unreadable: the shell reports it. */
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

/*
 * execve(2) with an empty signal mask, which the program inherits. Signals are blocked again when
 * it fails. On kernels before 5.16 a core-dumping signal kills every process that shares the memory
 * (fs/coredump.c, zap_threads), so the mask is empty for this one call.
 */
CHILD_CODE static void exec_unblocked(const char *path, char *const *argv, char *const *envp)
{
	uint64_t none = 0, all = ~(uint64_t)0;
	int errnum;

	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
	syscall(SYS_execve, path, argv, envp);
	errnum = errno;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof(all));
	errno = errnum;
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
		exec_unblocked(path, s->argv, s->envp);
	} while (errno == ETXTBSY && ++tries < BUSY_TRIES);
	/* The arguments are too long, or a limit is reached (EAGAIN: RLIMIT_NPROC of the user). */
	if (errno == E2BIG || errno == EAGAIN || errno == ENOMEM || errno == EMFILE ||
	    errno == ENFILE)
		fail(c, SPAWN_EXEC, errno);
	if (errno != ENOEXEC || !is_text(path))
		return errno;
	s->argv[-1] = shell;
	s->argv[0] = path;
	exec_unblocked(shell, s->argv - 1, s->envp);
	s->argv[0] = name;
	return errno;
}

/*
 * Looks the command up as execvp(3) does, but in the child's own PATH, and without a default if it
 * has none. Returns the errno to report: of the first match that could not be executed, or ENOENT.
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

/* Writes why the program could not be executed. */
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

/*
 * Enters the working directory; or "/" if it fails and the request named no directory (login(1)).
 */
CHILD_CODE static void enter_directory(struct spawn_child *c)
{
	static char root[] = "PWD=/";
	const struct spawn *s = c->spawn;
	int errnum;

	if (syscall(SYS_chdir, s->cwd) == 0)
		return;
	errnum = errno;
	if (!s->pwd || syscall(SYS_chdir, "/") < 0)
		fail(c, SPAWN_CWD, errnum);
	*s->pwd = root;
	c->cwd_replaced = true;
}

CHILD_CODE void spawn_child_main(void *arg)
{
	struct spawn_child *c = arg;
	const struct spawn *s = c->spawn;
	int errnum;

	leave_daemon(c);
	/* Before the limits: the child has all descriptors of the daemon, which may be more. */
	set_stdio(c);
	reset_process(c->defaults);
	set_limits(c);
	become_user(c);
	enter_directory(c);
	install_filter(c);
	errnum = exec_search(c);
	complain(s->argv[0], errnum);
	sys_exit(errnum == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}
