/*
 * process.Process: the service whose methods start processes and steer them. One method a file,
 * pty/rpc_*.c.
 */
#ifndef PTY_SERVICE_H
#define PTY_SERVICE_H

#include "pty/proc.h"

struct pty_service;
struct router;
struct state;

/* Borrows the state, with its workers, users and budget. spawn_init must have been called. */
struct pty_service *pty_service_new(struct state *state);

/* Lets go of the processes, which live on. */
void pty_service_free(struct pty_service *svc);

void pty_service_register(struct pty_service *svc, struct router *router);

/* Whom KILL and the deadline reach unless a Start says otherwise (X-Envd-Kill-Scope). */
void pty_service_set_kill_scope(struct pty_service *svc, enum kill_scope scope);

/* Writes every process to the log. */
void pty_service_dump(const struct pty_service *svc);

#endif
