/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passes processes from one daemon to the next one under the same pid (POST /upgrade): the old
 * daemon describes them and replaces itself by execve(2), and the new daemon adopts them. The
 * processes remain children of this pid, so an adopted process is an ordinary struct proc.
 */
#ifndef PTY_HANDOVER_H
#define PTY_HANDOVER_H

#include <stdbool.h>

#include "base/arena.h"
#include "handover.pb-c.h"

struct pty_service;

/*
 * Before the daemon is replaced: stops or resumes reading the outputs of all processes. Unread
 * bytes stay in the kernel's pipes, where the next daemon reads them; bytes that were read but not
 * sent would be lost. Starts with the tag "_system" are refused meanwhile, and those in progress
 * delay the freeze: the next daemon would not know their processes.
 */
void pty_handover_pause(struct pty_service *svc, bool pause);

/*
 * Adds every process, every retained exit, and every child that must only be reaped to the state.
 * All memory lies in the arena or is borrowed from the service. The descriptor numbers are valid in
 * this daemon.
 */
void pty_handover_export(const struct pty_service *svc, struct arena *arena,
			 Handover__HandoverState *state);

/* Describes one process, in the form of pty_handover_export. */
struct proc;
Handover__HandoverProc *pty_handover_describe(const struct proc *p, struct arena *arena);

/*
 * Adopts one process by its pidfd. Takes ownership of all descriptors. 0, or -1 after logging the
 * error. The process need not be a child of the daemon; then its exit status can't be known.
 */
int pty_handover_adopt_one(struct pty_service *svc, Handover__HandoverProc *in, int pidfd);

struct pty_adopted {
	unsigned procs, procs_failed;
	unsigned retained, retained_failed;
};

/*
 * Adopts the processes and exits of the state. Takes ownership of the descriptors, moves them to
 * other numbers, and makes them close-on-exec and non-blocking. Deadlines start at
 * pty_handover_start_deadlines. A process that can't be adopted is not killed; its descriptors are
 * closed.
 */
void pty_handover_adopt(struct pty_service *svc, const Handover__HandoverState *state,
			struct pty_adopted *ret);

/*
 * Reaps every other child of the daemon when it exits. The previous daemon had left it: a helper,
 * or a process that this daemon could not adopt. Call it after pty_handover_adopt, before the
 * daemon starts a thread or a process of its own.
 */
void pty_handover_reap_others(struct pty_service *svc);

/* Starts the deadlines of adopted processes. Call it after the workload was thawed. */
void pty_handover_start_deadlines(struct pty_service *svc);

#endif
