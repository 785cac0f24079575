/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that move bytes: they fail, or move fewer than asked for. */
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "tests/faults/faults.h"

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

/* `n` is the number of bytes, fewer in a short call; a call of one byte is never short. */
#define MOVING(name, fd, writes, n, parameters, arguments)                                         \
	ssize_t __real_##name parameters;                                                          \
	ssize_t __wrap_##name parameters                                                           \
	{                                                                                          \
		unsigned kinds = fault_data_kinds(fd, writes);                                     \
                                                                                                   \
		if (kinds & FAULT_SHORT && n > 1 && fault_pick(#name, FAULT_SHORT))                \
			n = 1 + (n - 1) / 3;                                                       \
		else if (fault_fails(#name, kinds))                                                \
			return -1;                                                                 \
		return __real_##name arguments;                                                    \
	}

MOVING(read, fd, 0, n, (int fd, void *data, size_t n), (fd, data, n))
MOVING(pread, fd, 0, n, (int fd, void *data, size_t n, off_t at), (fd, data, n, at))
MOVING(recv, fd, 0, n, (int fd, void *data, size_t n, int flags), (fd, data, n, flags))
MOVING(write, fd, 1, n, (int fd, const void *data, size_t n), (fd, data, n))
MOVING(pwrite, fd, 1, n, (int fd, const void *data, size_t n, off_t at), (fd, data, n, at))
MOVING(send, fd, 1, n, (int fd, const void *data, size_t n, int flags), (fd, data, n, flags))
MOVING(sendfile, out, 1, n, (int out, int in, off_t *at, size_t n), (out, in, at, n))
MOVING(splice, in, 0, n, (int in, off_t *in_at, int out, off_t *out_at, size_t n, unsigned flags),
       (in, in_at, out, out_at, n, flags))
MOVING(copy_file_range, out, 1, n,
       (int in, off_t *in_at, int out, off_t *out_at, size_t n, unsigned flags),
       (in, in_at, out, out_at, n, flags))

/* Not short: a directory's records need room. */
ssize_t __real_getdents64(int fd, void *data, size_t n);
ssize_t __wrap_getdents64(int fd, void *data, size_t n)
{
	if (fault_fails("getdents64", FAULT_EINTR | FAULT_ENOMEM | FAULT_EIO))
		return -1;
	return __real_getdents64(fd, data, n);
}

/* A short one moves a part of the first piece. */
#define MOVING_VECTOR(name, writes)                                                                \
	ssize_t __real_##name(int fd, const struct iovec *pieces, int n);                          \
	ssize_t __wrap_##name(int fd, const struct iovec *pieces, int n)                           \
	{                                                                                          \
		unsigned kinds = fault_data_kinds(fd, writes);                                     \
		struct iovec first;                                                                \
                                                                                                   \
		if (kinds & FAULT_SHORT && n > 0 && pieces[0].iov_len > 1 &&                       \
		    fault_pick(#name, FAULT_SHORT)) {                                              \
			first = pieces[0];                                                         \
			first.iov_len = 1 + (first.iov_len - 1) / 3;                               \
			return __real_##name(fd, &first, 1);                                       \
		}                                                                                  \
		if (fault_fails(#name, kinds))                                                     \
			return -1;                                                                 \
		return __real_##name(fd, pieces, n);                                               \
	}

MOVING_VECTOR(readv, 0)
MOVING_VECTOR(writev, 1)
