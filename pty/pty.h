/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens and resizes pseudoterminals. openpty(3) and grantpt(3) are not used, because they look up a
 * group in /etc/group.
 */
#ifndef PTY_PTY_H
#define PTY_PTY_H

#include <stdint.h>
#include <sys/types.h>

/*
 * Opens a pair of `cols` × `rows`; `owner` owns the terminal. The master is non-blocking. Both have
 * O_CLOEXEC and O_NOCTTY. 0 or -errno.
 */
int pty_open(uid_t owner, uint16_t cols, uint16_t rows, int *ret_master, int *ret_slave);

/* Sets the size. If it changed, the foreground processes get SIGWINCH. 0 or -errno. */
int pty_resize(int master, uint16_t cols, uint16_t rows);

#endif
