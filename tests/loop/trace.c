/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace PID: the system calls of one thread, for the test that the loop never waits.
 *
 * Traces the thread PID by ptrace(2), and none that it creates, until SIGTERM, its exec or its end.
 * Prints "ready" when the tracing has begun. At the end, each different call is one line:
 *
 *	NAME<space>DETAIL
 *
 * DETAIL says what decides whether the call can wait: of a path, the path; of a descriptor, what it
 * refers to (the type of an object, "file PATH", "dir PATH") and "nonblock" or "block"; of waitid,
 * futex, fcntl and poll the option that matters. It is empty for other calls.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 1024
#define LINES_MAX  8192
#define OPTIONS	   (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC)
#define STOP_MARK  0x80
#define LEN(a)	   (sizeof(a) / sizeof((a)[0]))

static const struct {
	long number;
	const char *name;
} names[] = {
#include "syscall_names.h"
#ifndef __NR_cachestat
	{451, "cachestat"},
#endif
};

/* What the arguments of a call are. */
enum shape {
	SHAPE_PLAIN,
	SHAPE_FD,	/* a descriptor */
	SHAPE_FD_FLAGS, /* a descriptor; MSG_ flags are argument 4 (sendto, recvfrom: 5) */
	SHAPE_FD_MSG,	/* a descriptor, and MSG_ flags as third argument */
	SHAPE_TWO_FDS,	/* sendfile: the second is read */
	SHAPE_SPLICE,	/* splice: first, third; flags as sixth argument */
	SHAPE_PATH,
	SHAPE_AT,      /* a directory's descriptor and a path */
	SHAPE_FD_PATH, /* a descriptor and a path */
	SHAPE_WAITID,
	SHAPE_FUTEX,
	SHAPE_FCNTL,
	SHAPE_POLL,
};

static const struct {
	long number;
	enum shape shape;
} shapes[] = {
	{SYS_read, SHAPE_FD},
	{SYS_write, SHAPE_FD},
	{SYS_readv, SHAPE_FD},
	{SYS_writev, SHAPE_FD},
	{SYS_pread64, SHAPE_FD},
	{SYS_pwrite64, SHAPE_FD},
	{SYS_preadv, SHAPE_FD},
	{SYS_pwritev, SHAPE_FD},
	{SYS_preadv2, SHAPE_FD},
	{SYS_fstat, SHAPE_FD},
	{SYS_fstatfs, SHAPE_FD},
	{SYS_fsync, SHAPE_FD},
	{SYS_fdatasync, SHAPE_FD},
	{SYS_ftruncate, SHAPE_FD},
	{SYS_fallocate, SHAPE_FD},
	{SYS_fadvise64, SHAPE_FD},
	{SYS_fchmod, SHAPE_FD},
	{SYS_fchown, SHAPE_FD},
	{SYS_lseek, SHAPE_FD},
	{SYS_getdents64, SHAPE_FD},
	{SYS_accept, SHAPE_FD},
	{SYS_accept4, SHAPE_FD},
	{SYS_connect, SHAPE_FD},
	{SYS_ioctl, SHAPE_FD},
	{SYS_close, SHAPE_FD},
	{SYS_flock, SHAPE_FD},
	{SYS_sendto, SHAPE_FD_FLAGS},
	{SYS_recvfrom, SHAPE_FD_FLAGS},
	{SYS_sendmsg, SHAPE_FD_MSG},
	{SYS_recvmsg, SHAPE_FD_MSG},
	{SYS_sendfile, SHAPE_TWO_FDS},
	{SYS_splice, SHAPE_SPLICE},
	{SYS_fchdir, SHAPE_FD},
	{SYS_openat, SHAPE_AT},
	{SYS_openat2, SHAPE_AT},
	{SYS_newfstatat, SHAPE_AT},
	{SYS_statx, SHAPE_AT},
	{SYS_readlinkat, SHAPE_AT},
	{SYS_faccessat, SHAPE_AT},
	{SYS_faccessat2, SHAPE_AT},
	{SYS_mkdirat, SHAPE_AT},
	{SYS_unlinkat, SHAPE_AT},
	{SYS_renameat2, SHAPE_AT},
	{SYS_fchmodat, SHAPE_AT},
	{SYS_fchownat, SHAPE_AT},
	{SYS_statfs, SHAPE_PATH},
	{SYS_chdir, SHAPE_PATH},
	{SYS_execve, SHAPE_PATH},
	{SYS_inotify_add_watch, SHAPE_FD_PATH},
	{SYS_waitid, SHAPE_WAITID},
	{SYS_futex, SHAPE_FUTEX},
	{SYS_fcntl, SHAPE_FCNTL},
	{SYS_ppoll, SHAPE_POLL},
#ifdef SYS_open
	{SYS_open, SHAPE_PATH},
	{SYS_stat, SHAPE_PATH},
	{SYS_lstat, SHAPE_PATH},
	{SYS_access, SHAPE_PATH},
	{SYS_readlink, SHAPE_PATH},
	{SYS_mkdir, SHAPE_PATH},
	{SYS_rmdir, SHAPE_PATH},
	{SYS_unlink, SHAPE_PATH},
	{SYS_rename, SHAPE_PATH},
	{SYS_chmod, SHAPE_PATH},
	{SYS_chown, SHAPE_PATH},
	{SYS_poll, SHAPE_POLL},
#endif
};

static pid_t pid;
static volatile sig_atomic_t ending;
static char *lines[LINES_MAX];
static size_t n_lines;

static void on_term(int number)
{
	ending = 1;
}

static void remember(const char *line)
{
	size_t i;

	for (i = 0; i < n_lines; i++)
		if (strcmp(lines[i], line) == 0)
			return;
	if (n_lines == LINES_MAX) {
		fprintf(stderr, "more than %d different calls\n", LINES_MAX);
		exit(1);
	}
	lines[n_lines++] = strdup(line);
}

static void read_string(uint64_t address, char *to, size_t size)
{
	size_t n = 0;

	/* One byte at a time: the page behind the string need not exist. */
	while (n + 1 < size) {
		struct iovec local = {to + n, 1}, remote = {(void *)(uintptr_t)(address + n), 1};

		if (process_vm_readv(pid, &local, 1, &remote, 1, 0) != 1 || !to[n])
			break;
		n++;
	}
	to[n] = '\0';
}

/* What the descriptor refers to. */
static void name_fd(int fd, char *to, size_t size)
{
	char link[64], target[512];
	struct stat st;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/fd/%d", pid, fd);
	n = readlink(link, target, sizeof(target) - 1);
	if (n < 0) {
		snprintf(to, size, "none");
		return;
	}
	target[n] = '\0';
	if (strncmp(target, "anon_inode:[", 12) == 0)
		snprintf(to, size, "%.*s", (int)strcspn(target + 12, "]"), target + 12);
	else if (strncmp(target, "anon_inode:", 11) == 0)
		snprintf(to, size, "%s", target + 11);
	else if (strncmp(target, "socket:", 7) == 0 || strncmp(target, "pipe:", 5) == 0)
		snprintf(to, size, "%.*s", (int)strcspn(target, ":"), target);
	else
		snprintf(to, size, "%s %s",
			 stat(link, &st) == 0 && S_ISDIR(st.st_mode) ? "dir" : "file", target);
}

static bool is_nonblocking(int fd)
{
	char path[64], line[128];
	unsigned flags = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, fd);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "flags: %o", &flags) == 1)
			break;
	if (f)
		fclose(f);
	return flags & O_NONBLOCK;
}

static void describe_fd(int fd, bool dont_wait, char *to, size_t size)
{
	char name[600];

	name_fd(fd, name, sizeof(name));
	snprintf(to, size, "%s %s", name, dont_wait || is_nonblocking(fd) ? "nonblock" : "block");
}

static void describe_at(int dirfd, uint64_t address, char *to, size_t size)
{
	char path[512], dir[600];

	read_string(address, path, sizeof(path));
	if (!path[0]) {
		describe_fd(dirfd, false, to, size);
	} else if (path[0] == '/' || dirfd == AT_FDCWD) {
		snprintf(to, size, "%s", path);
	} else {
		name_fd(dirfd, dir, sizeof(dir));
		snprintf(to, size, "%s/%s", strncmp(dir, "dir ", 4) ? dir : dir + 4, path);
	}
}

static enum shape shape_of(long number)
{
	size_t i;

	for (i = 0; i < LEN(shapes); i++)
		if (shapes[i].number == number)
			return shapes[i].shape;
	return SHAPE_PLAIN;
}

/* Whether the time that poll or ppoll may wait is zero. */
static bool is_poll_immediate(const struct __ptrace_syscall_info *info)
{
	struct timespec time = {.tv_sec = 1};
	struct iovec local = {&time, sizeof(time)};
	struct iovec remote = {(void *)(uintptr_t)info->entry.args[2], sizeof(time)};

	if (info->entry.nr != SYS_ppoll)
		return info->entry.args[2] == 0;
	process_vm_readv(pid, &local, 1, &remote, 1, 0);
	return time.tv_sec == 0 && time.tv_nsec == 0;
}

static void describe(const struct __ptrace_syscall_info *info, char *to, size_t size)
{
	const uint64_t *a = (const uint64_t *)info->entry.args;
	char second[LINE_BYTES / 2];
	size_t n;

	to[0] = '\0';
	switch (shape_of((long)info->entry.nr)) {
	case SHAPE_PLAIN:
		break;
	case SHAPE_FD:
		describe_fd((int)a[0], false, to, size);
		break;
	case SHAPE_FD_FLAGS:
		describe_fd((int)a[0], a[3] & MSG_DONTWAIT, to, size);
		break;
	case SHAPE_FD_MSG:
		describe_fd((int)a[0], a[2] & MSG_DONTWAIT, to, size);
		break;
	case SHAPE_TWO_FDS:
	case SHAPE_SPLICE:
		if (info->entry.nr == SYS_splice)
			describe_fd((int)a[0], a[5] & SPLICE_F_NONBLOCK, to, size);
		else
			describe_fd((int)a[0], false, to, size);
		n = strlen(to);
		describe_fd((int)a[info->entry.nr == SYS_splice ? 2 : 1],
			    info->entry.nr == SYS_splice && a[5] & SPLICE_F_NONBLOCK, second,
			    sizeof(second));
		snprintf(to + n, size - n, " %s", second);
		break;
	case SHAPE_PATH:
		describe_at(AT_FDCWD, a[0], to, size);
		break;
	case SHAPE_AT:
		describe_at((int)a[0], a[1], to, size);
		break;
	case SHAPE_FD_PATH:
		describe_at(AT_FDCWD, a[1], to, size);
		break;
	case SHAPE_WAITID:
		snprintf(to, size, "%s", a[3] & WNOHANG ? "WNOHANG" : "waits");
		break;
	case SHAPE_FUTEX:
		n = a[1] & FUTEX_CMD_MASK;
		snprintf(to, size, "%s", n == FUTEX_WAKE ? "wake" : "wait");
		break;
	case SHAPE_FCNTL:
		snprintf(to, size, "%s",
			 a[1] == F_SETLKW || a[1] == F_OFD_SETLKW ? "waits for a lock" : "");
		break;
	case SHAPE_POLL:
		snprintf(to, size, "%s", is_poll_immediate(info) ? "0" : "waits");
		break;
	}
}

static void on_entry(void)
{
	struct __ptrace_syscall_info info;
	char detail[LINE_BYTES], line[LINE_BYTES + 64];
	size_t i;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) <= 0 ||
	    info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return;
	describe(&info, detail, sizeof(detail));
	for (i = 0; i < LEN(names) && names[i].number != (long)info.entry.nr; i++)
		;
	if (i < LEN(names))
		snprintf(line, sizeof(line), "%s %s", names[i].name, detail);
	else
		snprintf(line, sizeof(line), "%llu %s", (unsigned long long)info.entry.nr, detail);
	remember(line);
}

/* Lets the thread run to its next stop, and handles that. False: the tracing is over. */
static bool step(int *deliver, bool *listen)
{
	int status;

	ptrace(*listen ? PTRACE_LISTEN : PTRACE_SYSCALL, pid, NULL, (void *)(intptr_t)*deliver);
	while (waitpid(pid, &status, __WALL) < 0) {
		if (errno != EINTR)
			return false;
		ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
	}
	*deliver = 0;
	*listen = false;
	if (!WIFSTOPPED(status))
		return false;
	if (ending || status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8)) {
		bool is_signal = status >> 16 == 0 && !(WSTOPSIG(status) & STOP_MARK);

		ptrace(PTRACE_DETACH, pid, NULL,
		       is_signal ? (void *)(intptr_t)WSTOPSIG(status) : NULL);
		return false;
	}
	if (WSTOPSIG(status) == (SIGTRAP | STOP_MARK))
		on_entry();
	else if (status >> 16 == PTRACE_EVENT_STOP)
		*listen = WSTOPSIG(status) != SIGTRAP;
	else if (status >> 16 == 0)
		*deliver = WSTOPSIG(status);
	return true;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_term};
	int status, deliver = 0;
	bool listen = false;
	size_t i;

	if (argc != 2)
		return 2;
	pid = atoi(argv[1]);
	sigaction(SIGTERM, &action, NULL);
	if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)(intptr_t)OPTIONS) < 0 ||
	    ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0 || waitpid(pid, &status, __WALL) < 0) {
		perror("ptrace");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	while (step(&deliver, &listen))
		;
	for (i = 0; i < n_lines; i++)
		puts(lines[i]);
	return 0;
}
