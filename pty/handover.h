/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes on their way from one daemon to the next one under the same pid (POST /upgrade): the
 * old daemon describes them, replaces itself by execve(2), and the new one adopts them. They stay
 * its children, so an adopted process is a struct proc like any other.
 */
#ifndef PTY_HANDOVER_H
#define PTY_HANDOVER_H

#include <stdbool.h>

#include "base/arena.h"
#include "handover.pb-c.h"

struct pty_service;

/*
 * Stops reading the outputs of all processes, or goes on. What is not read stays in the kernel's
 * pipes, where the next daemon finds it; what was read and is not sent yet would be lost.
 */
void pty_handover_pause(struct pty_service *svc, bool pause);

/*
 * Adds every process, retained exit, and child that is only to be reaped to the state. Everything
 * lies in the arena or is borrowed from the service. The descriptor numbers are this daemon's own.
 */
void pty_handover_export(const struct pty_service *svc, struct arena *arena,
			 Handover__HandoverState *state);

/* Describes one process; as pty_handover_export does. */
struct proc;
Handover__HandoverProc *pty_handover_describe(const struct proc *p, struct arena *arena);

/*
 * Adopts one process, whose pidfd is known: takes all descriptors. 0, or -1 after a line in the
 * log. The process need not be a child of the daemon; then its exit status can't be known.
 */
int pty_handover_adopt_one(struct pty_service *svc, Handover__HandoverProc *in, int pidfd);

struct pty_adopted {
	unsigned procs, procs_failed;
	unsigned retained, retained_failed;
};

/*
 * Adopts what the state describes: takes the descriptors, which it moves to other numbers and makes
 * close-on-exec and non-blocking. Deadlines run from pty_handover_start_deadlines on. A process
 * that can't be adopted is left to run; its descriptors are closed.
 */
void pty_handover_adopt(struct pty_service *svc, const Handover__HandoverState *state,
			struct pty_adopted *ret);

/* The workload was thawed: the deadlines of adopted processes begin to run. */
void pty_handover_start_deadlines(struct pty_service *svc);

#endif
