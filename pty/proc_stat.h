/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads three fields of /proc/PID/stat (proc(5)). The loop may call this: the read takes no lock
 * that a process can hold for a long time.
 */
#ifndef PTY_PROC_STAT_H
#define PTY_PROC_STAT_H

#include <sys/types.h>

struct proc_stat {
	char state; /* 'R' runs, 'T' is stopped, 't' is stopped by its tracer, 'Z' is a zombie, … */
	pid_t session;
	int exit_code; /* as in wait(2); 0 if the caller may not trace the process */
};

/* `proc_fd` is an open /proc; -1: uses the path. 0 or -errno; -EPROTO: unexpected format. */
int proc_stat_read(int proc_fd, pid_t pid, struct proc_stat *ret);

#endif
