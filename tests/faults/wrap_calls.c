/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that succeed or fail: descriptors, names, attributes, threads, memory. */
#include <errno.h>
#include <event2/util.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/faults/faults.h"

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

#define FAILING(name, kinds, parameters, arguments)                                                \
	int __real_##name parameters;                                                              \
	int __wrap_##name parameters                                                               \
	{                                                                                          \
		if (fault_fails(#name, kinds))                                                     \
			return -1;                                                                 \
		return __real_##name arguments;                                                    \
	}

#define NEW_FD	(FAULT_EMFILE | FAULT_ENOMEM)
#define LOOK_UP (FAULT_ENOMEM | FAULT_EIO)
#define CHANGE	(FAULT_ENOSPC | FAULT_EIO)

/* ---- descriptors ---- */

FAILING(accept4, NEW_FD | FAULT_EINTR,
	(int fd, struct sockaddr *address, socklen_t *size, int flags), (fd, address, size, flags))
FAILING(socket, NEW_FD, (int domain, int type, int protocol), (domain, type, protocol))
FAILING(pipe2, NEW_FD, (int fds[2], int flags), (fds, flags))
FAILING(eventfd, NEW_FD, (unsigned value, int flags), (value, flags))
FAILING(inotify_init1, NEW_FD, (int flags), (flags))
FAILING(inotify_add_watch, FAULT_ENOSPC | FAULT_ENOMEM, (int fd, const char *path, uint32_t mask),
	(fd, path, mask))
FAILING(epoll_wait, FAULT_EINTR, (int fd, struct epoll_event *events, int n, int ms),
	(fd, events, n, ms))
FAILING(poll, FAULT_EINTR, (struct pollfd * fds, nfds_t n, int ms), (fds, n, ms))

/* The kernel allocates, and counts against max_user_watches, only if it adds (epoll_ctl(2)). */
int __real_epoll_ctl(int fd, int op, int watched, struct epoll_event *event);
int __wrap_epoll_ctl(int fd, int op, int watched, struct epoll_event *event)
{
	if (op == EPOLL_CTL_ADD && fault_fails("epoll_ctl", FAULT_ENOSPC | FAULT_ENOMEM))
		return -1;
	return __real_epoll_ctl(fd, op, watched, event);
}

/* The last argument of open(2) and openat(2), which is there only if the flags need it. */
#define READ_MODE(mode, flags)                                                                     \
	do {                                                                                       \
		va_list ap;                                                                        \
		(mode) = 0;                                                                        \
		if ((flags) & (O_CREAT | __O_TMPFILE)) {                                           \
			va_start(ap, flags);                                                       \
			(mode) = va_arg(ap, mode_t);                                               \
			va_end(ap);                                                                \
		}                                                                                  \
	} while (0)

int __real_open(const char *path, int flags, ...);
int __real_openat(int dir, const char *path, int flags, ...);

int __wrap_openat(int dir, const char *path, int flags, ...)
{
	unsigned kinds = NEW_FD | FAULT_EINTR | (flags & O_CREAT ? FAULT_ENOSPC : 0);
	mode_t mode;

	READ_MODE(mode, flags);
	if (fault_fails("openat", kinds))
		return -1;
	return __real_openat(dir, path, flags, mode);
}

int __wrap_open(const char *path, int flags, ...)
{
	mode_t mode;

	READ_MODE(mode, flags);
	return __wrap_openat(AT_FDCWD, path, flags, mode);
}

/* Linux closes the descriptor whatever close(2) says. */
int __real_close(int fd);
int __wrap_close(int fd)
{
	int r = __real_close(fd);

	if (r == 0 && fault_fails("close", FAULT_EINTR | FAULT_EIO))
		return -1;
	return r;
}

/* ---- names and attributes ---- */

FAILING(stat, LOOK_UP, (const char *path, struct stat *st), (path, st))
FAILING(lstat, LOOK_UP, (const char *path, struct stat *st), (path, st))
FAILING(fstat, LOOK_UP, (int fd, struct stat *st), (fd, st))
FAILING(fstatat, LOOK_UP, (int dir, const char *path, struct stat *st, int flags),
	(dir, path, st, flags))
FAILING(fstatfs, LOOK_UP, (int fd, struct statfs *st), (fd, st))
FAILING(faccessat, LOOK_UP, (int dir, const char *path, int mode, int flags),
	(dir, path, mode, flags))
FAILING(mkdirat, CHANGE, (int dir, const char *path, mode_t mode), (dir, path, mode))
FAILING(mknodat, CHANGE, (int dir, const char *path, mode_t mode, dev_t dev),
	(dir, path, mode, dev))
FAILING(symlinkat, CHANGE, (const char *target, int dir, const char *path), (target, dir, path))
FAILING(linkat, CHANGE, (int from, const char *old, int to, const char *path, int flags),
	(from, old, to, path, flags))
FAILING(unlinkat, FAULT_EIO, (int dir, const char *path, int flags), (dir, path, flags))
FAILING(renameat, CHANGE, (int from, const char *old, int to, const char *path),
	(from, old, to, path))
FAILING(renameat2, CHANGE, (int from, const char *old, int to, const char *path, unsigned flags),
	(from, old, to, path, flags))
FAILING(fchmod, FAULT_EIO, (int fd, mode_t mode), (fd, mode))
FAILING(fchown, FAULT_EIO, (int fd, uid_t uid, gid_t gid), (fd, uid, gid))
FAILING(fchownat, FAULT_EIO, (int dir, const char *path, uid_t uid, gid_t gid, int flags),
	(dir, path, uid, gid, flags))
FAILING(ftruncate, FAULT_EINTR | FAULT_EIO, (int fd, off_t size), (fd, size))
FAILING(fsync, CHANGE, (int fd), (fd))
FAILING(futimens, FAULT_EIO, (int fd, const struct timespec times[2]), (fd, times))
FAILING(fsetxattr, CHANGE, (int fd, const char *name, const void *value, size_t size, int flags),
	(fd, name, value, size, flags))
FAILING(fchdir, FAULT_EIO, (int fd), (fd))
FAILING(unshare, FAULT_ENOMEM, (int flags), (flags))

/* ---- threads and processes ---- */

FAILING(fork, FAULT_EAGAIN | FAULT_ENOMEM, (void), ())
FAILING(waitid, FAULT_EINTR, (idtype_t type, id_t id, siginfo_t *info, int options),
	(type, id, info, options))

int __real_pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*run)(void *),
			  void *arg);
int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*run)(void *),
			  void *arg)
{
	if (fault_fails("pthread_create", FAULT_EAGAIN))
		return EAGAIN;
	return __real_pthread_create(id, attr, run, arg);
}

/* The descriptor of a process; other calls pass: a child between clone and exec makes them. */
long __real_syscall(long number, ...);
__attribute__((no_sanitize("address", "undefined"))) long
__wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	if ((number == SYS_pidfd_open || number == SYS_openat2) && fault_fails("syscall", NEW_FD))
		return -1;
	return __real_syscall(number, a, b, c, d, e, f);
}

/* ---- memory ---- */

/*
 * What base/mem.h promises: one allocation fails, then the reserve of MEM_RESERVE_BYTES is used,
 * and before it is mapped again no other fails. A second failure before that is the end of the
 * process.
 */
static atomic_bool has_reserve;

void *__real_mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	void *p;

	if (fault_fails("mmap", FAULT_ENOMEM))
		return MAP_FAILED;
	p = __real_mmap(address, bytes, protection, flags, fd, offset);
	if (p != MAP_FAILED && bytes == MEM_RESERVE_BYTES)
		has_reserve = true;
	return p;
}

static bool allocation_fails(const char *name)
{
	if (!has_reserve || !fault_fails(name, FAULT_ENOMEM))
		return false;
	return atomic_exchange(&has_reserve, false);
}

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes)
{
	return allocation_fails("malloc") ? NULL : __real_malloc(bytes);
}

void *__real_calloc(size_t n, size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes)
{
	return allocation_fails("calloc") ? NULL : __real_calloc(n, bytes);
}

void *__real_realloc(void *old, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes)
{
	return allocation_fails("realloc") ? NULL : __real_realloc(old, bytes);
}
