/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/commands/terminal.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

int terminal_make_raw(struct terminal *t)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &t->saved) < 0)
		return -errno;
	raw = t->saved;
	cfmakeraw(&raw);
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
		return -errno;
	t->raw = true;
	return 0;
}

void terminal_restore(struct terminal *t)
{
	if (t->raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &t->saved);
	t->raw = false;
}

void terminal_size(Process__PTY__Size *ret)
{
	struct winsize size;

	process__pty__size__init(ret);
	ret->cols = TERMINAL_COLS;
	ret->rows = TERMINAL_ROWS;
	if ((ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0 ||
	     ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) &&
	    size.ws_col && size.ws_row) {
		ret->cols = size.ws_col;
		ret->rows = size.ws_row;
	}
}
