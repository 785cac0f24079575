/*
 * PID 1 mode (-init): with it a kernel, an image and this one file are a sandbox.
 *
 * PID 1 itself stays a small loop around sigwaitinfo(2): it prepares the machine, starts the
 * daemon as its child, reaps what is orphaned, passes signals on and ends the machine in order.
 * The daemon is a process like any other below it, so its own children are its own to reap, and a
 * daemon that dies is started again instead of taking the kernel with it.
 */
#ifndef ENVD_PID1_H
#define ENVD_PID1_H

#include <stdbool.h>

/* How the machine ends (-init-halt). */
enum pid1_halt {
	PID1_HALT_AUTO,	    /* SIGTERM and SIGPWR power off, SIGINT reboots */
	PID1_HALT_POWEROFF, /* whatever the signal */
	PID1_HALT_REBOOT,   /* how a Firecracker guest stops: it has no power switch */
	PID1_HALT_HALT,
};

struct pid1_options {
	enum pid1_halt halt;
	const char *exec; /* a command to start once the daemon listens; borrowed, or NULL */
};

/* The value of -init-halt. 0, or -EINVAL. */
int pid1_halt_parse(const char *text, enum pid1_halt *ret);

/*
 * Becomes PID 1: call it where -init was given, first of all, with one thread and no descriptor
 * but 0, 1 and 2. It returns in the daemon, the child; in PID 1 it never returns.
 */
void pid1_run(const struct pid1_options *options);

/* The daemon listens: the command of -init-exec may start. Without -init it does nothing. */
void pid1_listening(void);

#endif
