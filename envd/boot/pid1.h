/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Process 1 (-init): a kernel, an image and this one file make a sandbox.
 *
 * Process 1 is a small loop around sigtimedwait(2). It prepares the machine, starts the daemon as
 * its child, reaps orphans, passes signals on, and ends the machine in order. The daemon is a child
 * and not process 1 itself for two reasons: it can reap its own children without taking orphans for
 * them, and if it dies it is started again, while the death of process 1 is a panic of the kernel.
 */
#ifndef ENVD_PID1_H
#define ENVD_PID1_H

#include <stdbool.h>
#include <stddef.h>

struct inherited;
struct listen_spec;

#define PID1_STOP_DAEMON_MS 3000 /* from SIGTERM to the daemon until all others are signalled */
#define PID1_STOP_MS	    5000 /* from SIGTERM to all other processes until SIGKILL */
#define PID1_KILL_MS	    3000 /* from SIGKILL until the file systems are unmounted */
/*
 * A daemon that died is started again after RESTART_MS. The delay doubles up to RESTART_MAX_MS for
 * each daemon that lived for less than RESTART_SETTLE_MS.
 */
#define PID1_RESTART_MS	       100
#define PID1_RESTART_MAX_MS    5000
#define PID1_RESTART_SETTLE_MS 10000
#define PID1_EXEC_WORDS	       64 /* most words of -init-exec; further ones are dropped */

/* How the machine ends (-init-halt). */
enum pid1_halt {
	PID1_HALT_AUTO,	    /* SIGTERM and SIGPWR power off, SIGINT reboots */
	PID1_HALT_POWEROFF, /* for every signal */
	PID1_HALT_REBOOT,   /* a Firecracker guest stops by it: the machine has no power switch */
	PID1_HALT_HALT,
};

struct pid1_options {
	enum pid1_halt halt;
	const struct listen_spec *listen; /* the sockets that the daemon serves; borrowed */
	size_t n_listen;
	const char *exec; /* a command to start once the daemon listens; borrowed, or NULL */
};

/* Reads the value of -init-halt: auto, poweroff, reboot or halt. 0 or -EINVAL. */
int pid1_halt_parse(const char *text, enum pid1_halt *ret);

/*
 * Does the work of process 1 (-init). Call it before the daemon starts a thread or opens a
 * descriptor. It returns in the daemon, which is a child; in process 1 it never returns. If the
 * process is not the first of its PID namespace, it prints that and exits with 2.
 *
 * PID 1 opens the sockets of options->listen and keeps them open as long as the machine lives, so
 * that no other process can bind their ports while the daemon is started again. *listeners has them
 * in the daemon.
 */
void pid1_run(const struct pid1_options *options, struct inherited *listeners);

/*
 * For a daemon that is process 1 without -init, as the entry point of a container: orphans would
 * stay zombies for good, since the daemon waits for its own children alone. Forks like pid1_run and
 * returns in the child. Process 1 reaps, passes every signal on to the daemon, and exits with its
 * status (128 + signal if a signal ended it). It touches nothing else of the machine. If it can't
 * fork, it logs that and returns: the daemon serves, and orphans stay zombies.
 */
void pid1_reap_for_daemon(void);

/*
 * Tells process 1 that the daemon listens, so that it starts the command of -init-exec. Needs
 * pid1_run.
 */
void pid1_listening(void);

/*
 * Prepares the machine (pid1_setup.c): descriptors 0 to 2, the usual mounts and a root user if they
 * are missing, loopback, the hostname, limits, PATH, the controllers of the root cgroup. A step
 * that fails is logged and skipped: a sandbox with less is still a sandbox.
 */
void pid1_setup(void);

/* Writes all data to the disks and unmounts the file systems. */
void pid1_unmount(void);

#endif
