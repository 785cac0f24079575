/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PID 1 mode (-init): with it a kernel, an image and this one file are a sandbox.
 *
 * PID 1 itself stays a small loop around sigtimedwait(2): it prepares the machine, starts the
 * daemon as its child, reaps what is orphaned, passes signals on and ends the machine in order.
 * The daemon is a process like any other below it, so its own children are its own to reap, and a
 * daemon that dies is started again instead of taking the kernel with it.
 */
#ifndef ENVD_PID1_H
#define ENVD_PID1_H

#include <stdbool.h>
#include <stddef.h>

struct inherited;
struct listen_spec;

#define PID1_STOP_DAEMON_MS    3000 /* for the daemon to end its streams */
#define PID1_STOP_MS	       5000 /* for everything else, between SIGTERM and SIGKILL */
#define PID1_KILL_MS	       3000 /* for what was killed to be gone */
#define PID1_RESTART_MS	       100  /* until a daemon that died is started again, doubled … */
#define PID1_RESTART_MAX_MS    5000 /* … up to this while it does not live for … */
#define PID1_RESTART_SETTLE_MS 10000
#define PID1_EXEC_WORDS	       64 /* of the command of -init-exec */

/* How the machine ends (-init-halt). */
enum pid1_halt {
	PID1_HALT_AUTO,	    /* SIGTERM and SIGPWR power off, SIGINT reboots */
	PID1_HALT_POWEROFF, /* whatever the signal */
	PID1_HALT_REBOOT,   /* how a Firecracker guest stops: it has no power switch */
	PID1_HALT_HALT,
};

struct pid1_options {
	enum pid1_halt halt;
	const struct listen_spec *listen; /* the sockets that the daemon serves; borrowed */
	size_t n_listen;
	const char *exec; /* a command to start once the daemon listens; borrowed, or NULL */
};

/* The value of -init-halt: auto, poweroff, reboot or halt. 0, or -EINVAL. */
int pid1_halt_parse(const char *text, enum pid1_halt *ret);

/*
 * Becomes PID 1: call it where -init was given, first of all, with one thread and no descriptor
 * but 0, 1 and 2. It returns in the daemon, the child; in PID 1 it never returns. Where the
 * process is not the first of its PID namespace it says so and exits with 2.
 *
 * PID 1 opens the sockets of options->listen and keeps them open as long as the machine lives, so
 * that no other process can bind their ports while the daemon is started again. *listeners has them
 * in the daemon.
 */
void pid1_run(const struct pid1_options *options, struct inherited *listeners);

/*
 * For a daemon that is process 1 without -init, as the entry point of a container: orphans would stay
 * zombies for good, since the daemon waits for its own children alone. Forks like pid1_run and returns
 * in the child. Process 1 reaps, passes every signal on to the daemon, and exits with its status
 * (128 + signal if a signal ended it). It touches nothing else of the machine. If it can't fork, it
 * logs that and returns: the daemon serves, and orphans stay zombies.
 */
void pid1_reap_for_daemon(void);

/* The daemon listens: the command of -init-exec may start. Only where pid1_run has returned. */
void pid1_listening(void);

/*
 * The machine's first minute (pid1_setup.c): descriptors 0 to 2, the usual mounts and a root
 * user where they are missing, loopback, the hostname, limits, PATH, the controllers of the root
 * cgroup. What can't be had is logged and done without: a sandbox with less is still a sandbox.
 */
void pid1_setup(void);

/* Its last: what is written is written, and file systems are left clean. */
void pid1_unmount(void);

#endif
