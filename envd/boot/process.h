/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's own process: its limit of descriptors, and the signals that it ignores. Call both at
 * the start, before threads exist.
 */
#ifndef ENVD_PROCESS_H
#define ENVD_PROCESS_H

struct budget;

/*
 * Raises the limit of descriptors to the maximum (children get the original limit), and lowers the
 * budget's numbers of connections and processes to what the limit allows. Each connection uses one
 * descriptor and each process about four; a sixteenth stays in reserve.
 */
void process_raise_descriptors(struct budget *budget);

/*
 * Ignores signals that a root process of the guest, or a service manager, may send, if their
 * default action ends the process. Exceptions are SIGTERM, SIGINT and SIGUSR1, which the daemon
 * handles, SIGQUIT (with a core dump), SIGKILL, and the faults. With an audit stream the daemon
 * handles SIGUSR2 later. SIGXFSZ comes from a file size limit that another program set: if it is
 * ignored, the write fails with EFBIG.
 */
void process_ignore_signals(void);

#endif
