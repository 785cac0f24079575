/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Helpers for file descriptors: close, transfer, read and write.
 */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Closes *fd unless it is negative, and sets it to -1. errno is kept. */
void fd_close(int *fd);

/* For a local variable: `FD_AUTO int fd = -1;` is closed when it goes out of scope. */
#define FD_AUTO __attribute__((cleanup(fd_close)))

/* Returns the descriptor and sets *fd to -1: the caller becomes the owner. */
int fd_take(int *fd);

/*
 * Returns true if an errno (of either sign) means that there is no free descriptor, or no memory:
 * the same call may succeed later.
 */
bool fd_is_shortage(int errnum);

/*
 * Opens /dev/null, with these flags of open(2), for each of stdin, stdout and stderr that is
 * closed. Otherwise the next descriptor that is opened would get its number.
 */
void fd_fill_standard(int flags);

/* 0 or -errno. */
int fd_set_nonblock(int fd);

/* Writes all n bytes to a blocking descriptor; continues after EINTR. 0 or -errno. */
int fd_write_all(int fd, const void *data, size_t n);

/* Reads n bytes, fewer at EOF. Returns the number of bytes, or -errno. */
ssize_t fd_read_all(int fd, void *data, size_t n);

/*
 * Reads a whole small file (in /proc, /sys, /etc) and adds a NUL. Returns 0 and memory in *ret that
 * the caller frees, or -errno; -EFBIG if the file is larger than max_bytes.
 */
int fd_read_file(int dirfd, const char *path, size_t max_bytes, char **ret, size_t *ret_bytes);

#endif
