/*
 * How a process ended, and how clients are told: the texts of Go's os.ProcessState, which existing
 * clients read.
 */
#ifndef PTY_EXIT_STATUS_H
#define PTY_EXIT_STATUS_H

#include <stdbool.h>

#include "process.pb-c.h"

/* What waitid(2) says, and what is known besides. */
struct exit_status {
	int code;   /* CLD_EXITED, CLD_KILLED or CLD_DUMPED */
	int status; /* the exit status or the signal */
	bool oom;   /* the signal was the kernel's, for lack of memory (oom_count.h) */
};

/* Room for the longest status text. */
#define EXIT_STATUS_TEXT_BYTES 64

/*
 * Fills in the event; its strings lie in `text`. With `explain`, which a client asks for by
 * "X-Envd-Explain-End: 1", it has the field that no stock client knows.
 */
void exit_status_event(const struct exit_status *exit_status, bool explain,
		       char text[EXIT_STATUS_TEXT_BYTES], Process__ProcessEvent__EndEvent *ret);

#endif
