/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

void fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

int fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

bool fd_is_shortage(int errnum)
{
	int positive = errnum < 0 ? -errnum : errnum;

	return positive == EMFILE || positive == ENFILE || positive == ENOMEM ||
	       positive == ENOBUFS;
}

void fd_fill_standard(int flags)
{
	int fd;

	do
		fd = open("/dev/null", flags);
	while (fd >= 0 && fd <= STDERR_FILENO);
	fd_close(&fd);
}

int fd_set_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

int fd_write_all(int fd, const void *data, size_t n)
{
	const char *p = data;
	ssize_t done;

	while (n) {
		done = write(fd, p, n);
		if (done < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

ssize_t fd_read_all(int fd, void *data, size_t n)
{
	size_t have = 0;
	ssize_t got;

	while (have < n) {
		got = read(fd, (char *)data + have, n - have);
		if (got < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (got == 0)
			break;
		have += (size_t)got;
	}
	return (ssize_t)have;
}

int fd_read_file(int dirfd, const char *path, size_t max_bytes, char **ret, size_t *ret_bytes)
{
	FD_AUTO int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t room = 4096, have = 0;
	char *data;
	ssize_t got;

	if (fd < 0)
		return -errno;
	data = mem_alloc(room + 1);
	for (;;) {
		got = fd_read_all(fd, data + have, room - have);
		if (got < 0) {
			free(data);
			return (int)got;
		}
		have += (size_t)got;
		if (have < room)
			break;
		if (have > max_bytes) {
			free(data);
			return -EFBIG;
		}
		room *= 2;
		data = mem_realloc(data, room + 1);
	}
	if (have > max_bytes) {
		free(data);
		return -EFBIG;
	}
	data[have] = '\0';
	*ret = data;
	if (ret_bytes)
		*ret_bytes = have;
	return 0;
}
