/*
 * Pseudoterminals, without openpty(3) and grantpt(3), which look for a group in /etc/group.
 */
#ifndef PTY_PTY_H
#define PTY_PTY_H

#include <stdint.h>
#include <sys/types.h>

/*
 * Makes a pair of `cols` × `rows`; the terminal belongs to the user. The master doesn't block;
 * neither is inherited nor becomes a controlling terminal by itself. 0 or -errno.
 */
int pty_open(uid_t owner, uint16_t cols, uint16_t rows, int *ret_master, int *ret_slave);

/* Sets the size; the foreground processes get SIGWINCH where it changed. 0 or -errno. */
int pty_resize(int master, uint16_t cols, uint16_t rows);

#endif
