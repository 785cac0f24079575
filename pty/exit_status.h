/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exit status of a process, and its end event. The texts are those of Go's os.ProcessState,
 * which existing clients parse.
 */
#ifndef PTY_EXIT_STATUS_H
#define PTY_EXIT_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "process.pb-c.h"

/* The limits of a cgroup that its processes have reached, as bits. */
enum exit_limit {
	EXIT_LIMIT_MEMORY = 1 << 0, /* the kernel killed one of them for lack of memory */
	EXIT_LIMIT_PIDS = 1 << 1,   /* a fork was refused */
	EXIT_LIMIT_CPU = 1 << 2,    /* they had to wait for their share of processor time */
};

#define EXIT_LIMITS 3

/* `code` and `status` are si_code and si_status of waitid(2). */
struct exit_status {
	int code;   /* CLD_EXITED, CLD_KILLED, CLD_DUMPED; 0: unknown, not a child of the daemon */
	int status; /* the exit status or the signal; 0 after CLD_KILLED: unknown */
	bool oom;   /* it was an OOM kill (pty/cgroup/oom_count.h) */
	/* The resource usage of the process and its descendants. */
	uint8_t limits_reached;	  /* of enum exit_limit */
	uint32_t memory_peak_kib; /* 0: unknown */
	uint64_t cpu_time_us;
};

/* Room for the longest status text. */
#define EXIT_STATUS_TEXT_BYTES 64

/* The memory for the strings of an end event. */
struct exit_status_text {
	char status[EXIT_STATUS_TEXT_BYTES];
	const char *limits[EXIT_LIMITS];
};

/*
 * Fills in the event. Its strings lie in `text`. `explain` (the request had "X-Envd-Explain-End:
 * 1") adds the members that stock clients do not know.
 */
void exit_status_event(const struct exit_status *exit_status, bool explain,
		       struct exit_status_text *text, Process__ProcessEvent__EndEvent *ret);

/*
 * Parses an end event that another daemon wrote. The reference uses the code 128 + signal and the
 * bare name of the signal for a process that it had adopted. 0 or -EINVAL.
 */
int exit_status_parse(const Process__ProcessEvent__EndEvent *event, struct exit_status *ret);

#endif
