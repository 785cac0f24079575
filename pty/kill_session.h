/*
 * Killing a session: every process that has the leader's session id, found in /proc.
 */
#ifndef PTY_KILL_SESSION_H
#define PTY_KILL_SESSION_H

#include <sys/types.h>

/*
 * Sends SIGKILL to every member of the session, the leader and those it forks meanwhile included.
 * The leader must not be reaped before this returns, or the number may name another session. Reads
 * all of /proc, at least twice: for a worker. Returns how many were signalled.
 */
unsigned kill_session(pid_t leader);

#endif
