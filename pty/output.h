/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the outputs of a process, no faster than its readers take the bytes.
 */
#ifndef PTY_OUTPUT_H
#define PTY_OUTPUT_H

#include "pty/proc.h"

/* Takes fd; -1: an output that has ended. Nothing is read before output_update. */
void output_init(struct output *o, struct proc *p, enum output_kind kind, int fd);

/* Sets or clears the read event by the state of the process and of its taps. */
void output_update(struct output *o);

/* Reads up to PROC_CHUNKS_A_TURN chunks, until the output is empty or a tap is full. */
void output_pump(struct output *o);

/*
 * Reads the bytes that are in the pipe now, also if taps are full: the process is over, and the
 * output is closed next. At most PROC_REST_MAX_BYTES.
 */
void output_rest(struct output *o);

void output_close(struct output *o);

/* Hands the output over to be read and discarded to its end. */
void output_discard(struct output *o);

#endif
