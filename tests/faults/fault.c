/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/faults/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct fault_control *control;

static const struct {
	unsigned kind;
	int errnum;
	const char *name;
} kinds_table[] = {
	{FAULT_EINTR, EINTR, "EINTR"},	  {FAULT_SHORT, 0, "short"},
	{FAULT_ENOSPC, ENOSPC, "ENOSPC"}, {FAULT_EMFILE, EMFILE, "EMFILE"},
	{FAULT_EAGAIN, EAGAIN, "EAGAIN"}, {FAULT_ENOMEM, ENOMEM, "ENOMEM"},
	{FAULT_EIO, EIO, "EIO"},
};
#define KINDS (sizeof(kinds_table) / sizeof(kinds_table[0]))

/* Before main, and so before the first thread. System calls without the wrapped functions. */
__attribute__((constructor)) static void attach(void)
{
	const char *path = getenv("ENVD_FAULTS");
	void *map;
	int fd;

	if (!path)
		return;
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
	map = fd < 0 ? MAP_FAILED
		     : (void *)syscall(SYS_mmap, NULL, sizeof(*control), PROT_READ | PROT_WRITE,
				       MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		dprintf(STDERR_FILENO, "ENVD_FAULTS: %s: %s\n", path, strerror(errno));
		exit(1);
	}
	syscall(SYS_close, fd);
	control = map;
}

/* splitmix64: a different, evenly spread number for each call. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

/* One of the kinds, the one that `random` points at. */
static size_t choose(unsigned kinds, uint64_t random)
{
	unsigned skip = (unsigned)(random % (unsigned)__builtin_popcount(kinds));
	size_t i;

	for (i = 0; i < KINDS; i++)
		if (kinds & kinds_table[i].kind && skip-- == 0)
			break;
	return i;
}

static void report(const char *name, size_t i)
{
	char line[96];
	int n = snprintf(line, sizeof(line), "fault: %s %s\n", name, kinds_table[i].name);

	syscall(SYS_write, STDERR_FILENO, line, n);
	__atomic_add_fetch(&control->failed, 1, __ATOMIC_RELAXED);
}

unsigned fault_pick(const char *name, unsigned kinds)
{
	int saved = errno;
	uint64_t number, random;
	size_t i;

	if (!control || (!control->rate && !control->number) || !(kinds &= control->kinds))
		return 0;
	number = __atomic_add_fetch(&control->calls, 1, __ATOMIC_RELAXED);
	random = mix(control->seed << 32 ^ number);
	if (number != control->number && (!control->rate || random % control->rate))
		return 0;
	i = choose(kinds, random >> 40);
	report(name, i);
	errno = saved;
	return kinds_table[i].kind;
}

int fault_fails(const char *name, unsigned kinds)
{
	unsigned kind = fault_pick(name, kinds & ~(unsigned)FAULT_SHORT);
	size_t i;

	if (!kind)
		return 0;
	for (i = 0; kinds_table[i].kind != kind; i++)
		;
	errno = kinds_table[i].errnum;
	return 1;
}

unsigned fault_data_kinds(int fd, int writes)
{
	struct stat st;
	int saved = errno;
	/* Not fstat, which is wrapped. */
	long failed = syscall(SYS_fstat, fd, &st);

	errno = saved;
	if (failed < 0)
		return 0;
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		return FAULT_EINTR | FAULT_SHORT | FAULT_EIO | (writes ? FAULT_ENOSPC : 0);
	case S_IFSOCK:
		return FAULT_EINTR | FAULT_SHORT | FAULT_EAGAIN;
	case S_IFIFO:
	case S_IFCHR:
		return FAULT_EINTR | FAULT_SHORT;
	default: /* eventfd, inotify, …: all or nothing */
		return 0;
	}
}
