/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

/* Opens the terminal of a master through the master, independent of where devpts is mounted. */
static int open_slave(int master)
{
	const int flags = O_RDWR | O_NOCTTY | O_CLOEXEC;
	int locked = 0, fd;
	unsigned number;
	char path[32];

	if (ioctl(master, TIOCSPTLCK, &locked) < 0)
		return -errno;
	fd = ioctl(master, TIOCGPTPEER, flags);
	if (fd >= 0)
		return fd;
	/* Kernels in user space (gVisor) may lack TIOCGPTPEER. */
	if (ioctl(master, TIOCGPTN, &number) < 0)
		return -errno;
	snprintf(path, sizeof(path), "/dev/pts/%u", number);
	fd = open(path, flags);
	return fd < 0 ? -errno : fd;
}

int pty_open(uid_t owner, uint16_t cols, uint16_t rows, int *ret_master, int *ret_slave)
{
	FD_AUTO int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	FD_AUTO int slave = -1;
	int r;

	if (master < 0)
		return -errno;
	slave = open_slave(master);
	if (slave < 0)
		return slave;
	/* Group and mode are mount options of devpts. EPERM: the daemon is not root. */
	if (fchown(slave, owner, (gid_t)-1) < 0 && errno != EPERM)
		return -errno;
	r = pty_resize(master, cols, rows);
	if (r < 0)
		return r;
	*ret_master = fd_take(&master);
	*ret_slave = fd_take(&slave);
	return 0;
}

int pty_resize(int master, uint16_t cols, uint16_t rows)
{
	struct winsize size = {.ws_col = cols, .ws_row = rows};

	return ioctl(master, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}
