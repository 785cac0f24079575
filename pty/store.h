/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that outlive a crash of the daemon: a parent of the daemon (a service manager, or
 * process
 * 1) keeps duplicates of their descriptors, and hands them to the next daemon.
 *
 * For each process the parent gets, under the name "proc.PID": a pidfd, the read ends of the
 * outputs or the terminal's master, and a memory file with a HandoverState that describes the
 * process; the pipe to its stdin is kept under "stdin.PID", and dropped as soon as the daemon
 * closes it: while anybody has it open, the process reads no end of file. Everything is dropped at
 * the end of the process.
 *
 * Without hooks every function does nothing. Loop only.
 */
#ifndef PTY_STORE_H
#define PTY_STORE_H

#include <stddef.h>

#include "handover.pb-c.h"

struct proc;
struct pty_service;

/* How the parent is reached. Neither call waits. The descriptors are borrowed for the call. */
struct pty_store {
	void (*put)(void *arg, const char *name, const int *fds, size_t n);
	void (*drop)(void *arg, const char *name);
	void *arg;
};

/* Copies. Call it before the first process is started or adopted. */
void pty_service_set_store(struct pty_service *svc, const struct pty_store *store);

/* A process was started or adopted; its stdin was closed; it has ended. */
void pty_store_put(const struct proc *p);
void pty_store_drop_stdin(const struct proc *p);
void pty_store_drop(const struct proc *p);

/*
 * Drops every process: the program that replaces the daemon does not know the store. Or puts them
 * back.
 */
void pty_store_drop_all(const struct pty_service *svc);
void pty_store_put_all(const struct pty_service *svc);

/*
 * Adopts what the parent hands down: `n` descriptors with their names, in any order. Takes all of
 * them. Returns how many processes were adopted; a process that can't be is left to run.
 */
unsigned pty_store_adopt(struct pty_service *svc, const int *fds, const char *const *names,
			 size_t n);

#endif
