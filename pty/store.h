/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps processes across a crash of the daemon: a parent of the daemon (a service manager, or
 * process 1) keeps duplicates of their descriptors, and passes them to the next daemon.
 *
 * For each process the parent gets, under the name "proc.PID": a pidfd, the read ends of the
 * outputs or the terminal's master, and a memory file with a HandoverState that describes the
 * process. It gets the pipe to stdin under the name "stdin.PID", and drops it as soon as the daemon
 * closes the pipe: as long as one process has the pipe open, the child does not read EOF. All are
 * dropped at the end of the process.
 *
 * Without hooks every function does nothing. Loop only.
 */
#ifndef PTY_STORE_H
#define PTY_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "handover.pb-c.h"

struct proc;
struct pty_service;

/*
 * The hooks to reach the parent. They must not block. The descriptors are borrowed during the call.
 * `put` returns false if the parent is busy and took nothing. The process then waits, without a
 * duplicate of its descriptors, and is put again by pty_store_resume, unless it ends before.
 */
struct pty_store {
	bool (*put)(void *arg, const char *name, const int *fds, size_t n);
	void (*drop)(void *arg, const char *name);
	void *arg;
};

/* The descriptors of one process that the parent has. */
struct proc_store {
	bool is_due;   /* a part of it waits for pty_store_resume */
	bool has_proc; /* the parent was sent "proc.PID", and "stdin.PID" */
	bool has_stdin;
	TAILQ_ENTRY(proc) link; /* of the processes that are due */
};

TAILQ_HEAD(proc_store_list, proc);

/* Copies. Call it before the first process is started or adopted. */
void pty_service_set_store(struct pty_service *svc, const struct pty_store *store);

/*
 * Call these when a process was started or adopted, when its stdin was closed, and when it has
 * ended.
 */
void pty_store_put(struct proc *p);
void pty_store_drop_stdin(struct proc *p);
void pty_store_drop(struct proc *p);

/* Drops what the parent keeps under these names for a daemon before this one. */
void pty_store_drop_names(const struct pty_service *svc, const char *const *names, size_t n);

/* Puts the processes that wait, until the parent is busy. Call it when the parent has room. */
void pty_store_resume(struct pty_service *svc);

/*
 * The same for a table (the argument), whose timer `store_retry` calls it after a shortage of
 * descriptors or memory.
 */
void pty_store_retry(void *arg);

/*
 * Call it for an adopted process: the parent keeps its descriptors already, because the daemon
 * before put them.
 */
void pty_store_assume(struct proc *p);

/* The daemon releases the process, which keeps running: it no longer waits. The parent keeps it. */
void pty_store_release(struct proc *p);

/*
 * pty_store_drop_all drops every process. Call it before the daemon is replaced by a program that
 * does not know the store. pty_store_put_all stores the processes again.
 */
void pty_store_drop_all(const struct pty_service *svc);
void pty_store_put_all(const struct pty_service *svc);

/*
 * Adopts the processes of `n` descriptors that the parent passed on, with their names, in any
 * order. Takes ownership of all descriptors. Returns the number of adopted processes; a process
 * that can't be adopted is not killed.
 */
unsigned pty_store_adopt(struct pty_service *svc, const int *fds, const char *const *names,
			 size_t n);

#endif
