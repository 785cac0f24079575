/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command of a container, `envd -init -- COMMAND…`. Process 1 starts it beside the daemon,
 * forwards signals to it, and exits with its exit status. The command must not notice that it is
 * not process 1: it gets the signal mask, the standard streams and the terminal of process 1.
 */
#ifndef ENVD_PID1_COMMAND_H
#define ENVD_PID1_COMMAND_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

/* Exit statuses for a command that can't be executed, as in a shell (POSIX, 2.8.2). */
#define PID1_COMMAND_REFUSED 126
#define PID1_COMMAND_ABSENT  127

struct pid1_command {
	char *const *argv; /* borrowed; NULL: there is no command */
	bool group;	   /* forward signals to its process group, not to the process alone */
	pid_t pid;	   /* 0: not started, or ended */
	int status;	   /* of waitpid(2), once it has ended */
};

/*
 * Starts the command with the signal mask `mask`. The caller blocks all signals. 0 or -errno of
 * fork(2). If execvp(3) fails, the child prints the reason and exits with PID1_COMMAND_….
 *
 * If this process leads a session, as the first process of a container does, the command gets a
 * session of its own, and with it the terminal: job control works, and Ctrl-Z can't stop a command
 * that nobody would continue. Otherwise the command gets a process group of its own, which becomes
 * the terminal's foreground group if the group of this process was.
 */
int pid1_command_start(struct pid1_command *c, const sigset_t *mask);

/* Sends a signal to the command. Does nothing if the command does not run. */
void pid1_command_forward(const struct pid1_command *c, int sig);

/* Returns the exit status for this process: the command's, or 128 + the signal that ended it. */
int pid1_command_exit_code(const struct pid1_command *c);

#endif
