/*
 * The outputs of a process: reading them, as far and as fast as its readers can take it.
 */
#ifndef PTY_OUTPUT_H
#define PTY_OUTPUT_H

#include "pty/proc.h"

/* Takes fd. Nothing is read before output_update. */
void output_init(struct output *o, struct proc *p, enum output_kind kind, int fd);

/* Reads or does not, as the process' state has it. */
void output_update(struct output *o);

/* Reads what is there, up to PROC_CHUNKS_A_TURN chunks or until a reader is full. */
void output_pump(struct output *o);

/*
 * Reads what is there whether readers are full or not, for there will be no other time: at most
 * PROC_REST_MAX_BYTES.
 */
void output_rest(struct output *o);

void output_close(struct output *o);

#endif
