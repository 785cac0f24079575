/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other commands of the binary: `envd ready …`, `envd ps …`. Each function gets the arguments
 * from the command's name on (argv[0] is "ready") and returns the exit status. A wrong argument is
 * one line on stderr and status 2 (of exec and attach 125); --help prints the usage to stdout.
 */
#ifndef ENVD_CMD_H
#define ENVD_CMD_H

struct cmd {
	const char *name; /* NULL ends the table */
	int (*run)(int argc, char **argv);
	const char *summary; /* for envd --help */
};

extern const struct cmd cmds[];

/* Returns the command of this name, or NULL. */
const struct cmd *cmd_find(const char *name);

/*
 * Runs in the guest and waits until ports, files or processes exist. Status: 0 ready, 1 timeout, 2
 * usage.
 */
int cmd_ready(int argc, char **argv);

/*
 * Runs on the host and relays a TCP or unix socket to a vsock port of a guest. Status: 1 failure, 2
 * usage.
 */
int cmd_bridge(int argc, char **argv);

/* Copies this program into a directory. Status: 1 failure, 2 usage. */
int cmd_install(int argc, char **argv);

/*
 * Replaces a running daemon by a program (POST /upgrade). Status: 1 refused or something was lost,
 * 2 usage.
 */
int cmd_upgrade(int argc, char **argv);

/*
 * These run on the host, against a daemon (--to). Status: 1 the daemon refuses or cannot be
 * reached, 2 usage; of exec and attach the process's, or 125 for both.
 */
int cmd_exec(int argc, char **argv);
int cmd_attach(int argc, char **argv);
int cmd_logs(int argc, char **argv);
int cmd_ps(int argc, char **argv);
int cmd_kill(int argc, char **argv);
int cmd_cp(int argc, char **argv);
int cmd_cat(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_rm(int argc, char **argv);
int cmd_watch(int argc, char **argv);
int cmd_health(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_ports(int argc, char **argv);
int cmd_freeze(int argc, char **argv);
int cmd_thaw(int argc, char **argv);

#endif
