/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's terminal, while it belongs to a process of a guest. */
#ifndef ENVD_TERMINAL_H
#define ENVD_TERMINAL_H

#include <stdbool.h>
#include <termios.h>

#include "process.pb-c.h"

/* The size that is used if neither stdin nor stdout of the command is a terminal. */
#define TERMINAL_COLS 80
#define TERMINAL_ROWS 24

struct terminal {
	bool raw;
	struct termios saved;
};

/* Makes stdin pass each key on unchanged (termios(3), "raw mode"). 0 or -errno. */
int terminal_make_raw(struct terminal *t);

/* Undoes terminal_make_raw. Does nothing if the terminal is not raw. */
void terminal_restore(struct terminal *t);

/* Fills in the size of the terminal on stdin or stdout. */
void terminal_size(Process__PTY__Size *ret);

#endif
