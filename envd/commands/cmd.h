/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other programs in the binary: `envd ready …` and `envd bridge …`. Each takes the arguments
 * from its own name on (argv[0] is "ready") and returns the exit status. A wrong argument is one
 * line on stderr and 2; --help prints the usage to stdout.
 */
#ifndef ENVD_CMD_H
#define ENVD_CMD_H

/*
 * Runs in the guest and waits until ports, files or processes exist. 0 ready, 1 timeout, 2 usage.
 */
int cmd_ready(int argc, char **argv);

/*
 * Runs on the host and relays a TCP or unix socket to a vsock port of a guest. 1 failure, 2 usage.
 */
int cmd_bridge(int argc, char **argv);

/*
 * Replaces a running daemon by a program (POST /upgrade). 1 refused or something was lost, 2 usage.
 */
int cmd_upgrade(int argc, char **argv);

#endif
