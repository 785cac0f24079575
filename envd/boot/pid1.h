/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Process 1 (-init): with it, a sandbox needs only a kernel, an image and this binary. With a
 * command (-init -- COMMAND…) it is the entry point of a container, beside the container's command.
 *
 * Process 1 is a small loop around sigtimedwait(2). It prepares the machine, starts the daemon as
 * its child, reaps orphans, forwards signals, and shuts the machine down in order. With a command
 * it leaves the machine alone, and exits when the command has ended.
 *
 * The daemon is a child of process 1 for two reasons. The daemon waits only for its own children,
 * and never has to distinguish them from orphans. If the daemon dies, process 1 starts it again,
 * whereas the kernel panics if process 1 dies.
 */
#ifndef ENVD_PID1_H
#define ENVD_PID1_H

#include <stdbool.h>
#include <stddef.h>

struct inherited;
struct listen_spec;

#define PID1_STOP_DAEMON_MS 3000 /* from SIGTERM for the daemon to SIGTERM for the others */
#define PID1_STOP_MS	    5000 /* from that SIGTERM to SIGKILL */
#define PID1_KILL_MS	    3000 /* from SIGKILL to the unmounting of file systems */
/*
 * Process 1 restarts a dead daemon after PID1_RESTART_MS. The delay doubles, up to
 * PID1_RESTART_MAX_MS, each time the daemon lived for less than PID1_RESTART_SETTLE_MS.
 */
#define PID1_RESTART_MS	       100
#define PID1_RESTART_MAX_MS    5000
#define PID1_RESTART_SETTLE_MS 10000
#define PID1_EXEC_WORDS	       64 /* maximum words of -init-exec; further words are dropped */

/* How process 1 ends the machine (-init-halt). */
enum pid1_halt {
	PID1_HALT_AUTO,	    /* SIGTERM and SIGPWR power off, SIGINT reboots */
	PID1_HALT_POWEROFF, /* for every signal */
	PID1_HALT_REBOOT,   /* Firecracker guests stop this way: they have no power switch */
	PID1_HALT_HALT,
};

struct pid1_options {
	enum pid1_halt halt;
	const struct listen_spec *listen; /* the daemon's listening sockets; borrowed */
	size_t n_listen;
	const char *exec;     /* command to start when the daemon listens; borrowed; may be NULL */
	char *const *command; /* the container's command; borrowed; NULL: a machine */
	bool group;	      /* signals go to the command's process group */
};

/* Reads the value of -init-halt: auto, poweroff, reboot or halt. 0 or -EINVAL. */
int pid1_halt_parse(const char *text, enum pid1_halt *ret);

/*
 * Does the work of process 1 (-init). Call it before the daemon starts a thread or opens a
 * descriptor. It returns in the daemon, a child of process 1; in process 1 it does not return.
 *
 * Without a command the caller must be the first process of its PID namespace; otherwise it prints
 * an error and exits with status 2. With a command it may be any process, and adopts orphans as a
 * child subreaper (PR_SET_CHILD_SUBREAPER(2const)); but process 1 of a machine is an error: the
 * kernel panics when it exits.
 *
 * Process 1 opens the sockets of options->listen and does not close them, so that no other process
 * can bind their ports while the daemon restarts. In the daemon, *listeners receives them.
 */
void pid1_run(const struct pid1_options *options, struct inherited *listeners);

/*
 * For a daemon that is process 1 without -init, such as the entry point of a container. The daemon
 * waits only for its own children, so orphans would remain zombies.
 *
 * Forks and returns in the child, which becomes the daemon. Process 1 reaps children, forwards
 * every signal to the daemon, and exits with the daemon's exit status (128 + signal if a signal
 * ended it). It does not change the machine. If fork(2) fails, it logs the error and returns: the
 * daemon runs as process 1, and orphans remain zombies.
 */
void pid1_reap_for_daemon(void);

/*
 * Tells process 1 that the daemon listens; process 1 then starts the command of -init-exec. Call it
 * only in a daemon that pid1_run started.
 */
void pid1_listening(void);

/*
 * Prepares the machine (pid1_setup.c): descriptors 0 to 2, the usual mounts and a root user if they
 * are missing, loopback, the hostname, limits, PATH, the controllers of the root cgroup. A step
 * that fails is logged and skipped.
 */
void pid1_setup(void);

/* Writes all data to the disks and unmounts the file systems. */
void pid1_unmount(void);

#endif
