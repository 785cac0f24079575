/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other programs in the binary: `envd ready …` and `envd bridge …`. Each is handed the
 * arguments from its own name on (argv[0] is "ready"), writes its usage to stderr where they are
 * wrong, and returns the exit status.
 */
#ifndef ENVD_CMD_H
#define ENVD_CMD_H

/* Waits in the guest until ports, files, processes are there. 0 ready, 1 timeout, 2 usage. */
int cmd_ready(int argc, char **argv);

/* On the host: a TCP or unix socket that leads to a guest's vsock port. 1 failure, 2 usage. */
int cmd_bridge(int argc, char **argv);

#endif
