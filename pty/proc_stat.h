/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three fields of /proc/PID/stat (proc(5)). Reading it takes no lock that a process can hold for
 * long, so the loop may call this.
 */
#ifndef PTY_PROC_STAT_H
#define PTY_PROC_STAT_H

#include <sys/types.h>

struct proc_stat {
	char state; /* 'R' runs, 'T' is stopped, 't' is stopped by its tracer, 'Z' is a zombie, … */
	pid_t session;
	int exit_code; /* as wait(2) has it; 0 unless the caller may trace the process */
};

/* `proc_fd` is an open /proc; -1: the path is used. 0 or -errno; -EPROTO: not understood. */
int proc_stat_read(int proc_fd, pid_t pid, struct proc_stat *ret);

#endif
