/*
 * How a process ended, and how clients are told: the texts of Go's os.ProcessState, which existing
 * clients read.
 */
#ifndef PTY_ENDING_H
#define PTY_ENDING_H

#include "process.pb-c.h"

/* What waitid(2) says. */
struct ending {
	int code;   /* CLD_EXITED, CLD_KILLED or CLD_DUMPED */
	int status; /* the exit status or the signal */
};

/* Room for the longest status text. */
#define ENDING_TEXT_BYTES 64

/* Fills in the event; its strings lie in `text`. */
void ending_event(const struct ending *ending, char text[ENDING_TEXT_BYTES],
		  Process__ProcessEvent__EndEvent *ret);

#endif
