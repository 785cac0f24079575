/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/boot/pid1_command.h"

#include <errno.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

/* What the child does about the terminal. */
enum terminal {
	TERMINAL_SESSION,    /* makes a session, and takes standard input as its terminal */
	TERMINAL_FOREGROUND, /* makes a process group, and brings it to the foreground */
	TERMINAL_BACKGROUND, /* makes a process group */
};

/*
 * Gives up the controlling terminal: a terminal can belong to one session only. The kernel then
 * sends SIGHUP and SIGCONT to the foreground group (tty_ioctl(4), TIOCNOTTY), and so to this
 * process. They are not for the command, so they are taken from the queue before it starts.
 */
static void give_up_terminal(void)
{
	sigset_t own;

	if (ioctl(STDIN_FILENO, TIOCNOTTY) < 0)
		return;
	sigemptyset(&own);
	sigaddset(&own, SIGHUP);
	sigaddset(&own, SIGCONT);
	while (sigtimedwait(&own, NULL, &(struct timespec){0}) > 0)
		;
}

static enum terminal prepare_terminal(void)
{
	if (getsid(0) == getpid()) {
		give_up_terminal();
		return TERMINAL_SESSION;
	}
	return tcgetpgrp(STDIN_FILENO) == getpgrp() ? TERMINAL_FOREGROUND : TERMINAL_BACKGROUND;
}

/* In the child. The calls fail without harm if standard input is not a terminal. */
static void take_terminal(enum terminal terminal)
{
	if (terminal == TERMINAL_SESSION) {
		setsid();
		ioctl(STDIN_FILENO, TIOCSCTTY, 0);
		return;
	}
	setpgid(0, 0);
	/* SIGTTOU is blocked, so a process in the background may call this. */
	if (terminal == TERMINAL_FOREGROUND)
		tcsetpgrp(STDIN_FILENO, getpid());
}

static _Noreturn void execute(char *const *argv)
{
	int error;

	execvp(argv[0], argv);
	error = errno;
	fprintf(stderr, "envd: %s: %s\n", argv[0], error_errno_text(error));
	_exit(error == ENOENT || error == ENOTDIR ? PID1_COMMAND_ABSENT : PID1_COMMAND_REFUSED);
}

int pid1_command_start(struct pid1_command *c, const sigset_t *mask)
{
	enum terminal terminal = prepare_terminal();
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		take_terminal(terminal);
		sigprocmask(SIG_SETMASK, mask, NULL);
		execute(c->argv);
	}
	/*
	 * The child does the same. Whichever is first: the group exists before a signal is
	 * forwarded to it. It fails if the child is a session leader, or runs the command already.
	 */
	if (terminal != TERMINAL_SESSION)
		setpgid(pid, pid);
	c->pid = pid;
	return 0;
}

void pid1_command_forward(const struct pid1_command *c, int sig)
{
	if (!c->pid)
		return;
	/* The group does not exist until the child has called setsid(2). */
	if (!c->group || kill(-c->pid, sig) < 0)
		kill(c->pid, sig);
}

int pid1_command_exit_code(const struct pid1_command *c)
{
	return WIFSIGNALED(c->status) ? 128 + WTERMSIG(c->status) : WEXITSTATUS(c->status);
}
