/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File descriptors: closing them, and the flags that every one of ours carries.
 */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <stddef.h>
#include <sys/types.h>

/* Closes *fd unless it is negative, and sets it to -1. errno is kept. */
void fd_close(int *fd);

/* For a local variable: `FD_AUTO int fd = -1;` is closed when it goes out of scope. */
#define FD_AUTO __attribute__((cleanup(fd_close)))

/* Gives the descriptor away: returns it and leaves -1 behind. */
int fd_take(int *fd);

/* 0 or -errno. */
int fd_set_nonblock(int fd);

/* Writes or reads all n bytes of a blocking descriptor, through EINTR. 0 or -errno. */
int fd_write_all(int fd, const void *data, size_t n);

/* Reads until n bytes or EOF. The count, or -errno. */
ssize_t fd_read_all(int fd, void *data, size_t n);

/*
 * Reads a small file whole (for /proc, /sys, /etc) and adds a NUL. `max_bytes` bounds it.
 * Returns owned memory in *ret, or -errno (-EFBIG where it is larger).
 */
int fd_read_file(int dirfd, const char *path, size_t max_bytes, char **ret, size_t *ret_bytes);

#endif
