/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a process ended, and the end event that tells it. The texts are those of Go's
 * os.ProcessState, which existing clients parse.
 */
#ifndef PTY_EXIT_STATUS_H
#define PTY_EXIT_STATUS_H

#include <stdbool.h>

#include "process.pb-c.h"

/* code and status are those of waitid(2). */
struct exit_status {
	int code;   /* CLD_EXITED, CLD_KILLED or CLD_DUMPED; 0: unknown, it was no child of ours */
	int status; /* the exit status or the signal; 0 after CLD_KILLED: unknown */
	bool oom;   /* it was an OOM kill (pty/cgroup/oom_count.h) */
};

/* Room for the longest status text. */
#define EXIT_STATUS_TEXT_BYTES 64

/*
 * Fills in the event. Its strings lie in `text`. With `explain` (the request had
 * "X-Envd-Explain-End: 1") it has the members that stock clients do not know.
 */
void exit_status_event(const struct exit_status *exit_status, bool explain,
		       char text[EXIT_STATUS_TEXT_BYTES], Process__ProcessEvent__EndEvent *ret);

/*
 * Reads an end event that another daemon wrote. The reference has the code 128 + signal and the
 * bare name of the signal for a process that it had itself adopted. 0 or -EINVAL.
 */
int exit_status_parse(const Process__ProcessEvent__EndEvent *event, struct exit_status *ret);

#endif
