/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the outputs of a process, no faster than its readers take the bytes. */
#ifndef PTY_OUTPUT_H
#define PTY_OUTPUT_H

#include "pty/proc.h"

/*
 * Initialises an output. Takes ownership of fd; -1: the output has ended. Call output_update to
 * begin reading.
 */
void output_init(struct output *o, struct proc *p, enum output_kind kind, int fd);

/* Sets or clears the read event by the state of the process and of its taps. */
void output_update(struct output *o);

/* Reads up to PROC_READS_A_TURN times, until the output is empty or a tap is full. */
void output_pump(struct output *o);

/*
 * Reads the bytes that are in the pipe now, even if taps are full, at most PROC_REST_MAX_BYTES.
 * Call it before an output is closed because the process is over.
 */
void output_rest(struct output *o);

void output_close(struct output *o);

/* Passes the descriptor to discards_add, which reads the rest and discards it. */
void output_discard(struct output *o);

#endif
